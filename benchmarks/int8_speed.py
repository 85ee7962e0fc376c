"""INT8 against FP32 of the same student on one thread: measured in turn.

    python -m benchmarks.int8_speed MODEL.PT [-o JSON]

Both files are made as `python -m export onnx` makes them and run as the runtime runs them. Parity comes
before speed: export verifies the files. Compare ratios, not milliseconds.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from export.pack import default_method, pack
from runtime.door import EXIT_OK, run
from runtime.errors import TinysceneError
from runtime.files import write_beside
from runtime.goldens import make_input
from runtime.session import Session
from train.checkpoint import load

_WARM_UP = 50


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.int8_speed", description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL.PT")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    options = parser.parse_args(arguments)
    result = compare(options.model, options.rounds)
    print(json.dumps(result, indent=2))
    if options.output:
        with write_beside(options.output) as partial:
            partial.write_text(json.dumps(result, indent=2) + "\n")
    return EXIT_OK


def compare(model: Path, rounds: int) -> dict[str, Any]:
    """Milliseconds per window of both files, and their ratio."""
    checkpoint = load(model)
    with tempfile.TemporaryDirectory() as folder:
        sessions = {}
        for name, method in (("fp32", "none"), ("int8", default_method(checkpoint))):
            path = Path(folder) / f"{name}.onnx"
            if not pack(checkpoint, path, method=method).verification.passed:
                raise TinysceneError(f"{model} could not be verified as {name}: no speed without parity.")
            sessions[name] = Session(path)
    log_mel = make_input("patches", 1, checkpoint.input_shape)
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(_WARM_UP + rounds):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.logits(log_mel)
            times[name].append(1e3 * (time.perf_counter() - start))
    rows = {name: _summary(np.array(values[_WARM_UP:])) for name, values in times.items()}
    return {
        "student": checkpoint.student,
        "arguments": checkpoint.arguments,
        "rounds": rounds,
        "cpu": _cpu(),
        **rows,
        "ratio_of_medians": rows["int8"]["median_ms"] / rows["fp32"]["median_ms"],
        "ratio_of_p10": rows["int8"]["p10_ms"] / rows["fp32"]["p10_ms"],
    }


def _summary(milliseconds: np.ndarray) -> dict[str, float]:
    p10, median, p95 = np.percentile(milliseconds, [10, 50, 95])
    return {"p10_ms": round(p10, 4), "median_ms": round(median, 4), "p95_ms": round(p95, 4)}


def _cpu() -> str:
    """The processor's own name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )


if __name__ == "__main__":
    run(main)
