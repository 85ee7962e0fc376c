"""A contestant in a process of its own: ``python -m benchmarks.side_by_side.worker NAME FOLDER``.

Reads one JSON object a line from stdin and answers each with one on stdout. It imports nothing but numpy, the
runtime and what the contestant imports, so that it works in an environment without this project.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side.ways.contestant import ENTRIES, PRODUCTS, Contestant, load

PARTS = ("front_end", "network", "end_to_end")


def main() -> None:
    """Serve requests until stdin ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines print to stdout
    name, folder = sys.argv[1], Path(sys.argv[2])

    def reply(values: dict[str, Any]) -> None:
        replies.write(json.dumps(values) + "\n")
        replies.flush()

    try:
        contestant = load(name, folder)
        waveforms = np.load(folder / "waveforms.npy")
        reply({"versions": versions(name), "logits": _logits(contestant, waveforms)})
        jobs = _jobs(contestant, waveforms[0])
        for line in sys.stdin:
            request = json.loads(line)
            reply(timed(jobs[request["part"]], request["repeats"]))
    except Exception as error:  # whatever an engine raises is the reason why it is not in the table
        reply({"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]})
    os._exit(0)  # the teardown of torch and of its compilers takes longer than a round


def timed(job: Callable[[], object], repeats: int) -> dict[str, list[float]]:
    """Seconds of each run by the clock on the wall, and processor seconds of all threads of the process.

    One run before them is not counted: the other contestants have emptied the caches.
    """
    wall, processor = [], []
    job()
    for _ in range(repeats):
        begun, used = time.perf_counter(), time.process_time()
        job()
        processor.append(time.process_time() - used)
        wall.append(time.perf_counter() - begun)
    return {"wall": wall, "processor": processor}


def versions(name: str) -> dict[str, str]:
    """Of the packages that the contestant's user installs."""
    from importlib.metadata import version

    return {package: version(package) for package in (ENTRIES | PRODUCTS)[name].packages}


def _logits(contestant: Contestant, waveforms: np.ndarray) -> list[list[float]]:
    logits = [contestant.network(contestant.front_end(waveform)) for waveform in waveforms]
    return [[float(value) for value in row] for row in logits]


def _jobs(contestant: Contestant, waveform: np.ndarray) -> dict[str, Callable[[], object]]:
    log_mel = contestant.front_end(waveform)
    return {
        "front_end": lambda: contestant.front_end(waveform),
        "network": lambda: contestant.network(log_mel),
        "end_to_end": lambda: contestant.probabilities(waveform),
    }


if __name__ == "__main__":
    main()
