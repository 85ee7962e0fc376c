"""Resident memory after predictions, and megabytes to install: ``python -m benchmarks memory [-o JSON]``.

Resident memory (``VmRSS``) counts the file pages of libraries that are in use. What is to be installed are
the packages that a way imports with all that those depend on, without Python itself.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.side_by_side import artefacts
from benchmarks.side_by_side.command import make_parser, measure_and_write
from benchmarks.side_by_side.environments import Environments
from benchmarks.side_by_side.startup import NAMES, Start, ratios_to_reference, start
from benchmarks.side_by_side.ways.contestant import ENTRIES
from runtime.entry_point import run

RUNS, MORE = 3, 50

_SIZE = """
import re, sys
from importlib.metadata import PackageNotFoundError, distribution
found, waiting = {}, sys.argv[1:]
while waiting:
    name = re.sub("[-_.]+", "-", waiting.pop()).lower()
    if name in found:
        continue
    try:
        package = distribution(name)
    except PackageNotFoundError:
        continue  # for another system or another Python
    files = [package.locate_file(file) for file in package.files or [] if "__pycache__" not in str(file)]
    found[name] = sum(file.stat().st_size for file in files if file.is_file())
    needed = [text for text in package.requires or [] if "extra ==" not in text]
    waiting += [re.match("[A-Za-z0-9._-]+", text)[0] for text in needed]
print(sum(found.values()) / 1e6)
"""


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    options = make_parser("memory", __doc__, "runs", RUNS).parse_args(arguments)
    return measure_and_write("memory", options, NAMES, lambda made, where: measure(made, where, options.runs))


def measure(made: artefacts.Artefacts, environments: Environments, runs: int) -> dict[str, Any]:
    """The greatest of the runs, and the installed size, of every way."""
    names = [name for name in NAMES if ENTRIES[name].file not in made.missing]
    contestants = {}
    for name in tqdm(names, desc="memory", disable=None):
        starts = [start(name, made.folder, environments, MORE) for _ in range(runs)]
        contestants[name] = _row(name, starts, environments)
    ratios = ratios_to_reference({n: row["later_mb"] for n, row in contestants.items()})
    return {"runs": runs, "predictions": MORE + 1, "contestants": contestants, "ratios": ratios}


def _row(name: str, starts: list[Start], environments: Environments) -> dict[str, Any]:
    entry = ENTRIES[name]
    return {
        "title": entry.title, "arithmetic": entry.arithmetic, "ours": entry.ours,
        "first_mb": round(max(s.first_mb for s in starts), 1),
        "later_mb": round(max(s.later_mb for s in starts), 1),
        "installed_mb": installed_mb(entry.packages, environments.made(entry.environment)),
    }  # fmt: skip


def installed_mb(packages: tuple[str, ...], python: Path) -> int:
    """Megabytes of packages and of all that they depend on, in an interpreter's environment."""
    done = subprocess.run([python, "-c", _SIZE, *packages], capture_output=True, text=True, check=True)
    return round(float(done.stdout))


if __name__ == "__main__":
    run(main)
