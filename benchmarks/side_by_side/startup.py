"""Process start to the end of the first prediction: ``python -m benchmarks startup [--runs N] [-o JSON]``.

Each way is a fresh process of Python that imports what it needs, loads the network and classifies a second;
this runtime's self-test is part of it. Files are in the page cache after the run that warms up.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.runtime_cost import spread
from benchmarks.side_by_side import artefacts
from benchmarks.side_by_side.command import make_parser, measure_and_write
from benchmarks.side_by_side.environments import Environments
from benchmarks.side_by_side.ways.contestant import ENTRIES
from runtime.entry_point import run
from runtime.errors import TinysceneError

NAMES = ("native", "ort_int8", "torch_eager", "ort_torchaudio", "ort_librosa", "litert")
REFERENCE = "torch_eager"
RUNS = 7


@dataclass(frozen=True)
class Start:
    """One start of a contestant.

    Attributes:
        wall_s: from the start of the process to its first prediction.
        processor_s: processor time until then.
        first_mb: resident memory then.
        later_mb: resident memory after more predictions.
    """

    wall_s: float
    processor_s: float
    first_mb: float
    later_mb: float


def start(name: str, folder: Path, environments: Environments, more: int = 0) -> Start:
    """Start a contestant once.

    Raises:
        TinysceneError: where it fails.
    """
    environment = ENTRIES[name].environment
    command = [environments.made(environment), "-m", "benchmarks.side_by_side.once", name, folder, more]
    variables = environments.variables(environment)
    begun = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            list(map(str, command)), env=variables, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdout
        line = process.stdout.readline()
        wall = time.perf_counter() - begun
        rest = process.stdout.read()
        if process.wait():
            errors.seek(0)
            last = (errors.read().strip().splitlines() or [""])[-1]
            raise TinysceneError(f"{name} does not start: {last}")
    _, processor, first = line.split()
    return Start(wall, float(processor), int(first) / 1024, int(rest.split()[-1]) / 1024)


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    options = make_parser("startup", __doc__, "runs", RUNS).parse_args(arguments)
    return measure_and_write(
        "startup", options, NAMES, lambda made, where: measure(made, where, options.runs)
    )


def measure(made: artefacts.Artefacts, environments: Environments, runs: int) -> dict[str, Any]:
    """Start the contestants in turns; the first turn warms up."""
    names = [name for name in NAMES if ENTRIES[name].file not in made.missing]
    found: dict[str, list[Start]] = {name: [] for name in names}
    for number in tqdm(range(1 + runs), desc="starting", unit="round", disable=None):
        for name in names if number % 2 else names[::-1]:
            found[name].append(start(name, made.folder, environments))
    contestants: dict[str, dict[str, Any]] = {
        name: {
            "title": ENTRIES[name].title, "arithmetic": ENTRIES[name].arithmetic,
            "ours": ENTRIES[name].ours,
            "processor": spread([s.processor_s for s in starts[1:]]),
            "wall": {**spread([s.wall_s for s in starts[1:]]),
                     "fastest": round(1e3 * min(s.wall_s for s in starts[1:]), 1)},
        }
        for name, starts in found.items()
    }  # fmt: skip
    ratios = ratios_to_reference({n: row["processor"]["median"] for n, row in contestants.items()})
    return {"unit": "ms", "runs": runs, "contestants": contestants, "ratios": ratios}


def ratios_to_reference(medians: dict[str, float]) -> dict[str, float]:
    """Each of this project's contestants over the reference systems' way."""
    reference = medians[REFERENCE]
    return {
        f"{name}_to_reference": round(value / reference, 3)
        for name, value in medians.items()
        if ENTRIES[name].ours
    }


if __name__ == "__main__":
    run(main)
