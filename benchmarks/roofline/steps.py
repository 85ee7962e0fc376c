"""Where the time of a one-second clip goes: ``python -m benchmarks steps [--model MODEL.ONNX] [-o JSON]``.

The steps of `Model.classify`, with ONNX Runtime and with the same file as compiled C, one after the other
as it takes them, so that each finds the caches as its predecessor left them; then the whole, and the
costliest parts of the log-mel alone. Processor times of one thread, medians. ``rest`` is what the whole takes
beyond its steps: calls, copies, cold caches.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result_files import results_folder, write_result
from benchmarks.runtime_cost import noise, spread
from benchmarks.side_by_side.command import positive
from export.c.install import compile_library
from runtime import load_model
from runtime.audio.converter import Converter
from runtime.audio.kernels import SparseRows, rfft
from runtime.audio.level import level_dbfs
from runtime.audio.log_mel import CHUNK, LogMel
from runtime.audio.mel_filter_bank import mel_filters
from runtime.audio.samples import Array
from runtime.audio.sliding_log_mel import SlidingLogMel
from runtime.classifier import Model, packaged_model
from runtime.entry_point import EXIT_OK, run
from runtime.errors import TinysceneError
from runtime.model.prediction import classified, to_scores
from runtime.model.session import Session
from runtime.spec import FrontEndSpec

ROUNDS = 400

Jobs = dict[str, Callable[[], Any]]


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks steps", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--model", type=Path, metavar="MODEL.ONNX", help="default: the packaged one")
    parser.add_argument("--rounds", type=positive, default=ROUNDS, metavar="N", help=f"default {ROUNDS}")
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    options = parser.parse_args(arguments)
    path = options.model or packaged_model()
    ways = {"onnx_runtime": measure(Model(Session(path)), options.rounds)}
    with tempfile.TemporaryDirectory(prefix="tinyscene-") as folder:
        try:
            ways["native"] = measure(load_model(compile_library(path, Path(folder))), options.rounds)
        except TinysceneError as error:
            print(f"without compiled C: {error}", file=sys.stderr)
    result = {"unit": "ms", "rounds": options.rounds, "ways": ways}
    write_result(options.output or results_folder() / "steps.json", result)
    print(json.dumps(result, indent=1))
    return EXIT_OK


def measure(model: Model, rounds: int) -> dict[str, Any]:
    """Milliseconds of every step, of the whole, and of parts of the log-mel."""
    window, rate = noise(model.spec.clip_samples), model.spec.frontend.sample_rate
    steps = _steps(model, window)
    whole: Jobs = {"all": lambda: model.classify(window, rate)}
    compiled = model.session.front_end
    frames = model.spec.input_shape[3]
    alone = _parts(model.spec.frontend, frames) if compiled is None else _part_in_c(compiled, frames)
    times: dict[str, list[float]] = {name: [] for name in (*steps, *whole, *alone)}
    for _ in range(rounds + rounds // 10):
        for jobs in (steps, whole, alone):
            _seconds(jobs)  # the caches hold what ran before
            for name, seconds in _seconds(jobs).items():
                times[name].append(seconds)
    found = {name: spread(seconds[rounds // 10 :]) for name, seconds in times.items()}
    rest = found["all"]["median"] - sum(found[name]["median"] for name in steps)
    return {
        "steps": {name: found[name] for name in steps}, "rest": round(rest, 4), "all": found["all"],
        "alone": {name: found[name] for name in alone},
    }  # fmt: skip


def _seconds(jobs: Jobs) -> dict[str, float]:
    found = {}
    for name, job in jobs.items():
        begun = time.thread_time()
        job()
        found[name] = time.thread_time() - begun
    return found


def _steps(model: Model, window: Array) -> Jobs:
    """What `Model.classify` does with one window, in its order; each step works on the last one's result."""
    spec, rate = model.spec, model.spec.frontend.sample_rate
    converter, place = Converter(rate, rate), [0]
    log_mel = SlidingLogMel(spec.frontend, len(window), len(window), model.session.front_end)
    network_input = log_mel(window, 0)[None, None]
    logits = model.session.logits(network_input)[0]

    def convert() -> None:
        converter.push(window)
        converter.reset()

    def columns() -> None:
        place[0] += 2 * len(window)  # nothing to reuse
        log_mel(window, place[0])

    return {
        "samples checked, converted": convert,
        "level": lambda: level_dbfs(window),
        "log-mel": columns,
        "network": lambda: model.session.logits(network_input),
        "probabilities": lambda: classified(to_scores(logits, spec), 0.0, 1.0),
    }


def _parts(spec: FrontEndSpec, frames: int) -> Jobs:
    """The FFT and the mel product of a window alone, as `LogMel` runs them."""
    runs = [min(CHUNK, frames - begin) for begin in range(0, frames, CHUNK)]
    framed = noise(CHUNK * spec.n_fft).reshape(CHUNK, spec.n_fft)
    bins = spec.n_fft // 2 + 1
    spectra = {count: np.empty((bins, count), np.complex64) for count in runs}
    squares = {count: np.ones((bins, 2 * count), np.float32) for count in runs}
    mel = SparseRows(band.astype(np.float32) for band in mel_filters(spec))
    return {
        "FFT": lambda: [rfft(framed[:count], out=spectra[count].T) for count in runs],
        "mel product": lambda: [mel @ squares[count] for count in runs],
    }


def _part_in_c(front_end: LogMel, frames: int) -> Jobs:
    """The columns of a window alone, without pre-emphasis and padding."""
    spec = front_end.spec
    samples = noise(spec.win_length + (frames - 1) * spec.hop_length)
    segments = np.lib.stride_tricks.sliding_window_view(samples, spec.win_length)[:: spec.hop_length]
    columns = np.empty((spec.n_mels, frames), np.float32)
    return {"columns in C": lambda: front_end.columns(segments, out=columns)}


if __name__ == "__main__":
    run(main)
