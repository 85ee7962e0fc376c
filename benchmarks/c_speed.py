"""A model as compiled C against the same file in ONNX Runtime, on one thread, measured alternately.

    python -m export c model.onnx -o c && make -C c libmodel.so
    python -m benchmarks.c_speed model.onnx c/libmodel.so [-o JSON]

Parity comes before speed: the labels of noise at several levels must be equal. Compare ratios, not
milliseconds.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from runtime import load_model
from runtime.audio.log_mel import LogMel
from runtime.classifier import Model
from runtime.entry_point import EXIT_OK, run
from runtime.errors import TinysceneError
from runtime.files import write_beside
from runtime.model.native_session import NativeSession
from runtime.model.self_test import make_input

_WARM_UP = 20
_LEVELS = (0.3, 0.03, 0.003)  # RMS of the windows of noise that are compared


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.c_speed", description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL.ONNX")
    parser.add_argument("library", type=Path, metavar="LIBMODEL.SO")
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    options = parser.parse_args(arguments)
    result = compare(load_model(options.model), load_model(options.library), options.rounds)
    print(json.dumps(result, indent=2))
    if options.output:
        with write_beside(options.output) as partial:
            partial.write_text(json.dumps(result, indent=2) + "\n")
    return EXIT_OK


def compare(onnx: Model, library: Model, rounds: int) -> dict[str, Any]:
    """Milliseconds of log-mel, network and both in ONNX Runtime and in C, and the ratio of the two.

    Raises:
        TinysceneError: where the two give different labels, or the library is another model's.
    """
    rate = onnx.spec.frontend.sample_rate
    noise = np.random.default_rng(0).standard_normal(onnx.spec.clip_samples).astype(np.float32)
    _refuse_other_labels(onnx, library, [level * noise for level in _LEVELS])
    waveform = _LEVELS[0] * noise
    log_mel, patches = LogMel(onnx.spec.frontend), make_input("patches", 1, onnx.spec.input_shape)
    native = library.session
    if not isinstance(native, NativeSession):
        raise TinysceneError("The second argument is no library: make one with `python -m export c`.")
    jobs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "log-mel": (lambda: log_mel(waveform), lambda: native.front_end(waveform)),
        "network": (lambda: onnx.session.logits(patches), lambda: native.logits(patches)),
        "waveform to probabilities": (
            lambda: onnx.classify(waveform, rate),
            lambda: library.classify(waveform, rate),
        ),
    }
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in jobs}
    for number in range(_WARM_UP + rounds):
        for name, pair in jobs.items():
            for job, found in zip(pair, times[name], strict=True):
                begin = time.perf_counter()
                job()
                if number >= _WARM_UP:
                    found.append(1000 * (time.perf_counter() - begin))
    return {
        "machine": platform.processor() or platform.machine(),
        "rounds": rounds,
        "kernels": native.optimization,
        **{name: _summary(*pair) for name, pair in times.items()},
    }


def _refuse_other_labels(onnx: Model, library: Model, windows: list[Any]) -> None:
    rate = onnx.spec.frontend.sample_rate
    if onnx.spec.labels != library.spec.labels:
        raise TinysceneError("The library has other labels than the .onnx file: give the one made from it.")
    for window in windows:
        one, other = onnx.classify(window, rate), library.classify(window, rate)
        if one.label != other.label:
            raise TinysceneError(
                f"The file says {one.label} and the library {other.label}: no speed matters."
            )


def _summary(onnx: list[float], library: list[float]) -> dict[str, float]:
    values = {"onnx_runtime": onnx, "c": library}
    found = {}
    for name, times in values.items():
        found[f"{name}_ms_median"] = round(float(np.median(times)), 4)
        found[f"{name}_ms_p95"] = round(float(np.percentile(times, 95)), 4)
    return {**found, "ratio": round(float(np.median(np.divide(library, onnx))), 3)}


if __name__ == "__main__":
    run(main)
