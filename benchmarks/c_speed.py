"""A model as compiled C against other engines, on one thread, measured alternately.

    python -m export c model.onnx -o c && make -C c libmodel.so
    python -m benchmarks.c_speed model.onnx c/libmodel.so [--openvino DIR] [--reference] [-o JSON]

Always against the same file in ONNX Runtime; with ``--openvino`` also in OpenVINO, which is installed into an
environment of its own in that folder; with ``--reference`` also against the reference systems' way: torch's
STFT, a dense mel product and the network in eager mode. Parity comes before speed: labels must be equal.
Compare ratios, not milliseconds. The peak is what one core multiplies in 512-bit dot products alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.c_contestants import OpenVino, openvino, reference_way
from benchmarks.result_files import write_result
from benchmarks.roofline.peak import peak
from export.c.operators import Convolution
from export.c.read_graph import read_network
from runtime import load_model
from runtime.audio.log_mel import LogMel
from runtime.classifier import Model
from runtime.entry_point import EXIT_OK, run
from runtime.errors import TinysceneError
from runtime.model.native_session import NativeSession
from runtime.model.self_test import make_input

_WARM_UP = 20
_LEVELS = (0.3, 0.03, 0.003)  # RMS of the windows of noise that are compared
_STARTS = 7
_START = """
import sys, time
import numpy as np
from runtime import load_model
model = load_model(sys.argv[1])
model.classify(np.sin(np.arange(model.spec.clip_samples, dtype=np.float32)), model.spec.frontend.sample_rate)
"""

_BURST = 5  # runs of an engine in its turn; the first is not counted
Job = Callable[[], object]


@dataclass(frozen=True)
class _Elsewhere:
    """A job of another process, which measures it there: from a number of runs to their seconds."""

    seconds: Callable[[int], list[float]]


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.c_speed", description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL.ONNX")
    parser.add_argument("library", type=Path, metavar="LIBMODEL.SO")
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("--openvino", type=Path, metavar="DIR", help="environment, made where it is missing")
    parser.add_argument("--reference", action="store_true", help="also torch's STFT and eager mode")
    parser.add_argument(
        "--busy",
        action="store_true",
        help="count processor time, not the clock's, where other programs compete for the cores",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    options = parser.parse_args(arguments)
    onnx_model, library = load_model(options.model), load_model(options.library)
    patches = make_input("patches", 1, onnx_model.spec.input_shape)
    clock = "process_time" if options.busy else "perf_counter"
    peer = openvino(options.model, patches, options.openvino, clock) if options.openvino else nullcontext()
    with peer as other:
        result = compare(onnx_model, library, options.rounds, other, options.reference, clock)
    result |= _efficiency(options.model, result["network"]["c_ms_p10"])
    result["start to first answer"] = starts(
        {"onnx_runtime": options.model, "c": options.library}, options.busy
    )
    print(json.dumps(result, indent=2))
    if options.output:
        write_result(options.output, result, {"windows": 0})
    return EXIT_OK


def compare(
    onnx: Model,
    library: Model,
    rounds: int,
    other: OpenVino | None = None,
    with_reference: bool = False,
    clock: str = "perf_counter",
) -> dict[str, Any]:
    """Milliseconds of log-mel, network and both in every engine, and the time in C over that of each other.

    Raises:
        TinysceneError: where two give different labels, or the library is another model's.
    """
    rate = onnx.spec.frontend.sample_rate
    noise = np.random.default_rng(0).standard_normal(onnx.spec.clip_samples).astype(np.float32)
    _refuse_other_labels(onnx, library, [level * noise for level in _LEVELS])
    waveform = _LEVELS[0] * noise
    log_mel, patches = LogMel(onnx.spec.frontend), make_input("patches", 1, onnx.spec.input_shape)
    native = library.session
    if not isinstance(native, NativeSession):
        raise TinysceneError("The second argument is no library: make one with `python -m export c`.")
    jobs: dict[str, dict[str, Job | _Elsewhere]] = {
        "log-mel": {"onnx_runtime": lambda: log_mel(waveform), "c": lambda: native.front_end(waveform)},
        "network": {
            "onnx_runtime": lambda: onnx.session.logits(patches),
            "c": lambda: native.logits(patches),
        },
        "waveform to probabilities": {
            "onnx_runtime": lambda: onnx.classify(waveform, rate),
            "c": lambda: library.classify(waveform, rate),
        },
    }
    if other is not None:
        if other.logits.argmax() != native.logits(patches).argmax():
            raise TinysceneError("OpenVINO gives another label than the library: no speed matters.")
        jobs["network"]["openvino"] = _Elsewhere(other.seconds)
    if with_reference:
        reference = reference_way(onnx.spec)
        jobs["waveform to probabilities"]["reference_systems"] = lambda: reference(waveform)
    return {
        "rounds": rounds,
        "clock": clock,
        "kernels": native.optimization,
        **({} if other is None else {"openvino": other.version}),
        **{name: _summary(times) for name, times in _measure(jobs, rounds, getattr(time, clock)).items()},
    }


def _burst(job: Job, clock: Callable[[], float]) -> list[float]:
    """Seconds of runs one after the other; the first finds the caches as another engine left them."""
    times = []
    for _ in range(_BURST):
        begin = clock()
        job()
        times.append(clock() - begin)
    return times


def _measure(
    jobs: dict[str, dict[str, Job | _Elsewhere]], rounds: int, clock: Callable[[], float]
) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of every job, one after the other in every round."""
    times: dict[str, dict[str, list[float]]] = {
        name: {engine: [] for engine in engines} for name, engines in jobs.items()
    }
    for number in range(_WARM_UP + rounds):
        for name, engines in jobs.items():
            for engine, job in engines.items():
                taken = job.seconds(_BURST) if isinstance(job, _Elsewhere) else _burst(job, clock)
                if number >= _WARM_UP:
                    times[name][engine] += [1000 * seconds for seconds in taken[1:]]
    return times


def starts(models: dict[str, Path], busy: bool = False) -> dict[str, float]:
    """Seconds from the start of Python to the end of a process that gives one answer, alternating.

    Python's bytecode is cached, as pip leaves it: the first process of each writes it, and is not counted.
    """

    def now() -> float:
        if not busy:
            return time.perf_counter()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    times: dict[str, list[float]] = {name: [] for name in models}
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
        for number in range(1 + _STARTS):
            for name, path in models.items():
                begin = now()
                command = [sys.executable, "-c", _START, str(path.resolve())]
                subprocess.run(command, env=environment, check=True)
                if number:
                    times[name].append(now() - begin)
    found = {f"{name}_s_median": round(float(np.median(taken)), 3) for name, taken in times.items()}
    return found | {f"{name}_s_least": round(min(taken), 3) for name, taken in times.items()}


def _efficiency(model: Path, milliseconds: float) -> dict[str, Any]:
    """Multiplications of the network a second, and their share of what the core could do."""
    convolutions = [op for op in read_network(onnx.load(model)).operators if isinstance(op, Convolution)]
    macs = sum(op.result.height * op.result.width * op.weight.size for op in convolutions)
    found: dict[str, Any] = {"macs": macs, "gmacs_a_second": round(macs / milliseconds / 1e6, 1)}
    if (vnni := peak("vnni_512")) is not None:
        found["vnni_peak_gmacs_a_second"] = round(vnni / 1e9, 1)
        found["share_of_vnni_peak"] = round(macs / milliseconds * 1e3 / vnni, 3)
    return found


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


def _summary(times: dict[str, list[float]]) -> dict[str, float]:
    found = {}
    for engine, taken in times.items():
        for name, percentile in (("p10", 10), ("median", 50), ("p95", 95)):
            found[f"{engine}_ms_{name}"] = round(float(np.percentile(taken, percentile)), 4)
    ratios = {
        f"c_over_{engine}": round(float(np.median(np.divide(times["c"], taken))), 3)
        for engine, taken in times.items()
        if engine != "c"
    }
    return {**found, **ratios}


if __name__ == "__main__":
    run(main)
