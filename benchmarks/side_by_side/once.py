"""One prediction in a fresh process: ``python -m benchmarks.side_by_side.once NAME FOLDER [MORE]``.

Prints the most probable class, the processor time since the process began, and resident kilobytes after the
first prediction and after ``MORE`` others.
"""

import sys
import time
from pathlib import Path

import numpy

from benchmarks.side_by_side.ways.contestant import load


def resident_kb() -> str:
    """``VmRSS`` of this process."""
    return Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]


def main(name: str, folder: str, more: str = "0") -> None:
    """Load a contestant, predict, and print."""
    contestant = load(name, Path(folder))
    waveform = numpy.sin(numpy.arange(32000, dtype=numpy.float32))
    best = contestant.probabilities(waveform).argmax()
    used, first = time.process_time(), resident_kb()
    print(best, used, first, flush=True)
    for _ in range(int(more)):
        contestant.probabilities(waveform)
    print(resident_kb())


if __name__ == "__main__":
    main(*sys.argv[1:])
