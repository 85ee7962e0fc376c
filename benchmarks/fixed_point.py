"""The log-mel of ``export c --fixed-point`` against the one in float32, on real windows of 1 s.

    python -m benchmarks fixed-point runtime/models/esc10.onnx --root ESC10_DIR [-o JSON]

Folds 1 to 4 of ESC-10, at several levels, one second of each clip from second 1 and from second 3, where they
have a signal; and windows without sound. The integers are those of the numpy reference, which the C code has
to the bit; the network runs in ONNX Runtime. ``16 bits`` is the float32 front end on the same 16-bit samples,
which tells the loss of the samples from that of the arithmetic. The packaged model was trained on these
clips: agreement is the result, accuracy only its measure in points.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from tqdm import tqdm

from benchmarks.accuracy.plan import FOLDS
from benchmarks.result_files import write_result
from export.c.front_end.fixed import FixedFrontEnd, quantize_samples
from export.c.operators import Tensor
from export.c.read_graph import read_network
from runtime.audio.level import NO_SIGNAL_DBFS, level_dbfs
from runtime.audio.log_mel import LogMel
from runtime.audio.read import read_recording
from runtime.entry_point import EXIT_OK, run
from runtime.model.session import Session
from train.data import ESC50

GAINS_DB = {"as recorded": 0.0, "-20 dB": -20.0, "-40 dB": -40.0, "+20 dB, clipped": 20.0}
_STARTS_S = (1, 3)
_DB = 10 / np.log(10)
Array = npt.NDArray[np.float32]


class Comparison:
    """One condition: windows in, errors and agreement out.

    Args:
        session: runs the network.
        log_mel: its quantized input.
    """

    def __init__(self, session: Session, log_mel: Tensor) -> None:
        self._session, self._input = session, log_mel
        self._fixed = FixedFrontEnd(session.spec.frontend, log_mel.scale, log_mel.zero)
        self._float = LogMel(session.spec.frontend)
        self._rows: list[tuple[float, ...]] = []

    def add(self, waveform: Array, target: int | None) -> None:
        """Compare a window; target is the index of its label."""
        samples = quantize_samples(waveform)
        spec = self._session.spec.frontend
        rounded = samples.astype(np.float32) / np.float32(32768)
        of_float, of_16_bits = self._float(waveform), self._float(rounded)
        expected = of_16_bits.astype(np.float64) * spec.std + spec.mean
        error = _DB * (self._fixed.natural_log(self._fixed.frames(samples)).T - expected)
        integers = self._fixed(samples).astype(np.int64)
        steps = np.abs(integers - self._quantized(of_16_bits))
        labels = [self._label(x) for x in (of_float, of_16_bits, self._dequantized(integers))]
        self._rows.append((
            float(np.sqrt(np.mean(error**2))), float(np.abs(error).max()), float((steps > 0).mean()),
            int(steps.max()), labels[2] == labels[1], labels[1] == labels[0], labels[2] == labels[0],
            *(label == target for label in labels),
        ))  # fmt: skip

    def summary(self) -> dict[str, Any]:
        """Errors over all windows, and shares of them."""
        columns = np.array(self._rows, np.float64).T
        shares = [round(float(column.mean()), 4) for column in columns[4:]]
        return {
            "windows": len(self._rows),
            "rms_error_db": float(np.sqrt(np.mean(columns[0] ** 2))),
            "greatest_error_db": float(columns[1].max()),
            "inputs_that_differ": float(columns[2].mean()),
            "greatest_difference_steps": int(columns[3].max()),
            "labels_equal": {
                "fixed point and 16 bits": shares[0],
                "16 bits and float": shares[1],
                "fixed point and float": shares[2],
            },
            "accuracy": dict(zip(("float", "16 bits", "fixed point"), shares[3:], strict=True)),
        }

    def _quantized(self, log_mel: Array) -> npt.NDArray[np.int64]:
        steps = np.rint(log_mel / np.float32(self._input.scale)) + self._input.zero
        integers: npt.NDArray[np.int64] = np.clip(steps, 0, 255).astype(np.int64)
        return integers

    def _dequantized(self, integers: npt.NDArray[np.int64]) -> Array:
        return ((integers - self._input.zero) * self._input.scale).astype(np.float32)

    def _label(self, log_mel: Array) -> int:
        return int(self._session.logits(np.ascontiguousarray(log_mel)[None, None])[0].argmax())


def measure(model: Path, root: Path | None, clips: int | None = None) -> dict[str, Any]:
    """Compare both front ends under every condition.

    Args:
        model: an INT8 .onnx file of ESC-10.
        root: the folder of the corpus; ``ESC10_DIR`` where None.
        clips: take this many clips, evenly spread; all where None.
    """
    session, log_mel = Session(model), read_network(onnx.load(model)).log_mel
    compared = {name: Comparison(session, log_mel) for name in (*GAINS_DB, "without sound")}
    for waveform, target in _windows(session, root, clips):
        for name, gain in GAINS_DB.items():
            changed = np.clip(waveform * np.float32(10 ** (gain / 20)), -1, 1)
            if level_dbfs(changed) >= NO_SIGNAL_DBFS:
                compared[name].add(changed, target)
    generator = np.random.default_rng(0)
    for bits in (0, 1):
        noise = generator.integers(-bits, bits + 1, session.spec.clip_samples)
        compared["without sound"].add((noise / 32768).astype(np.float32), None)
    return {name: comparison.summary() for name, comparison in compared.items()}


def _windows(session: Session, root: Path | None, clips: int | None) -> Iterator[tuple[Array, int]]:
    corpus = ESC50(None if root is None else str(root), esc10=True, test_folds=FOLDS, train_folds=())
    rate, length = session.spec.frontend.sample_rate, session.spec.clip_samples
    every = corpus.clips("test")
    chosen = every if clips is None else every[:: max(1, len(every) // clips)][:clips]
    for clip in tqdm(chosen, unit="clip", disable=None):
        waveform = read_recording(corpus.path(clip), rate).samples
        for start in _STARTS_S:
            window = waveform[start * rate :][:length]
            if len(window) == length:
                yield window, session.spec.labels.index(corpus.labels[max(clip.targets or ())])


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks fixed-point", description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL.ONNX")
    parser.add_argument("--root", type=Path, help="folder of ESC-10 (default: ESC10_DIR)")
    parser.add_argument("--clips", type=int, help="number of clips, evenly spread (default: all)")
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    options = parser.parse_args(arguments)
    found = measure(options.model, options.root, options.clips)
    print(json.dumps(found, indent=2))
    if options.output:
        write_result(options.output, {"conditions": found}, {"noise": 0})
    return EXIT_OK


if __name__ == "__main__":
    run(main)
