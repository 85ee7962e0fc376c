"""Time and memory against the size of the work: ``python -m benchmarks growth [-o JSON]``.

- ``clip_length``: `classify` of one recording, in seconds of it;
- ``streams``: a second of many streams that share a network;
- ``width``: a window through a FP32 CP-Mobile of other widths with random weights, against its MACs;
- ``corpus_size``: reading a corpus's list, checking and splitting it, and the first epoch's order and ten of
  its batches, up to the 230,350 clips of TAU Urban Acoustic Scenes 2022. The audio itself is left out.

An exponent is the slope of a line through logarithms: 1 is linear, 0 does not grow. Times are processor
times, the least of a few runs; memory is what the peak has over the memory before.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks import runtime_cost
from benchmarks.result_files import results_folder, write_result
from benchmarks.scaling.simulated_corpus import SimulatedCorpus
from complexity import measure as count
from export.pipeline import export_model
from runtime import load_model
from runtime.classifier import Model
from runtime.entry_point import EXIT_OK, run
from runtime.spec import FrontEndSpec
from train.checkpoints.model_pt import Checkpoint
from train.data import ClipData
from train.students import CPMobile

LENGTHS_S = (1, 3, 10, 30, 100, 300)
STREAMS = (1, 4, 16, 64)
WIDTHS = (16, 24, 32, 48)
CLIPS = (1_000, 10_000, 100_000, 230_350)
RUNS = 3


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks growth", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--model", type=Path, help="an .onnx file or a library; the packaged one by default")
    parser.add_argument("--only", nargs="+", choices=list(MEASUREMENTS), metavar="NAME")
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    options = parser.parse_args(arguments)
    model = load_model(options.model)
    found = {}
    for name in tqdm(options.only or list(MEASUREMENTS), desc="growth", disable=None):
        found[name] = _with_exponents(MEASUREMENTS[name](model))
    write_result(options.output or results_folder() / "growth.json", found, {"signals": 0})
    print(json.dumps({name: row["exponents"] for name, row in found.items()}, indent=1))
    return EXIT_OK


def exponent(values: Mapping[float, float]) -> float:
    """The slope of a least-squares line through the logarithms of {size: value}."""
    sizes, grown = np.log(list(values)), np.log(np.maximum(list(values.values()), 1e-9))
    return round(float(np.polyfit(sizes, grown, 1)[0]), 3)


def of_clip_length(model: Model) -> list[dict[str, float]]:
    """Rows of seconds of audio."""
    rate = model.spec.frontend.sample_rate
    waves = [runtime_cost.noise(length * rate) for length in LENGTHS_S]
    return [
        _row(length, lambda wave=wave: model.classify(wave, rate))  # type: ignore[misc]
        for length, wave in zip(LENGTHS_S, waves, strict=True)
    ]


def of_streams(model: Model) -> list[dict[str, float]]:
    """Rows of numbers of streams."""
    second = runtime_cost.noise(model.spec.frontend.sample_rate)
    rows = []
    for number in STREAMS:
        streams = model.streams(number, 1.0)
        rows.append(_row(number, lambda push=streams.push, n=number: push([second] * n)))  # type: ignore[misc]
    return rows


def of_width(model: Model) -> list[dict[str, float]]:
    """Rows of MACs; the model only gives its front end."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for width in WIDTHS:
            path = Path(folder) / f"{width}.onnx"
            macs = _write_random(width, path)
            session = load_model(path).session
            x = np.zeros(session.spec.input_shape, np.float32)
            rows.append(_row(macs, lambda run=session.logits, x=x: [run(x) for _ in range(20)]))  # type: ignore[misc]
    return rows


def of_corpus_size(model: Model) -> list[dict[str, float]]:
    """Rows of numbers of clips."""

    def first_batches(clips: int) -> None:
        data = ClipData(SimulatedCorpus(clips), in_memory=False)
        data.setup("fit")
        for _ in islice(iter(data.train_dataloader()), 10):
            pass

    first_batches(CLIPS[0])  # imports what is imported late
    return [_row(clips, lambda n=clips: first_batches(n)) for clips in CLIPS]  # type: ignore[misc]


MEASUREMENTS: dict[str, Callable[[Model], list[dict[str, float]]]] = {
    "clip_length": of_clip_length,
    "streams": of_streams,
    "width": of_width,
    "corpus_size": of_corpus_size,
}


def _row(size: float, job: Callable[[], object]) -> dict[str, float]:
    """Least processor time of the runs, and how far the peak of memory was above that before."""
    before, seconds = _memory_mb("VmRSS"), []
    _reset_peak()
    for _ in range(RUNS):
        begun = time.process_time()
        job()
        seconds.append(time.process_time() - begun)
    peak = _memory_mb("VmHWM") - before
    return {"size": size, "seconds": float(f"{min(seconds):.4g}"), "added_mb": round(max(peak, 0.0), 1)}


def _with_exponents(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Of the time over all sizes, and over the upper half, where fixed costs count less."""
    upper = rows[len(rows) // 2 - 1 :]
    times = [{row["size"]: row["seconds"] for row in part} for part in (rows, upper)]
    return {"rows": rows, "exponents": {"all": exponent(times[0]), "upper_half": exponent(times[1])}}


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # Linux: VmHWM becomes VmRSS


def _memory_mb(name: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) / 1024


def _write_random(width: int, path: Path) -> int:
    """Export a CP-Mobile of a width with random weights in float; returns its MACs."""
    torch.manual_seed(0)
    arguments: dict[str, Any] = {"n_classes": 10, "base_channels": width}
    checkpoint = Checkpoint(
        student="cp_mobile", arguments=arguments, frontend=FrontEndSpec.preset("cp_mel"),
        labels=tuple(f"class {number}" for number in range(10)),
        state_dict=CPMobile(**arguments).state_dict(),
    )  # fmt: skip
    export_model(checkpoint, path, method="none", tolerance=1.0)
    return int(count(checkpoint.build(), checkpoint.input_shape).macs)


if __name__ == "__main__":
    run(main)
