"""One prediction in a fresh process: ``python -m benchmarks.side_by_side.once NAME FOLDER [MORE]``.

Prints the most probable class, the processor time since the process began, and resident kilobytes after the
first prediction and after ``MORE`` others.
"""

import sys
import time
from pathlib import Path

import numpy

from benchmarks.side_by_side.contestant import load


def resident_kb() -> str:
    """``VmRSS`` of this process."""
    with open("/proc/self/status") as status:  # noqa: PTH123 as a plain script would
        return status.read().split("VmRSS:")[1].split()[0]


contestant = load(sys.argv[1], Path(sys.argv[2]))
waveform = numpy.sin(numpy.arange(32000, dtype=numpy.float32))
best = contestant.probabilities(waveform).argmax()
used, first = time.process_time(), resident_kb()
print(best, used, first, flush=True)
for _ in range(int(sys.argv[3]) if len(sys.argv) > 3 else 0):
    contestant.probabilities(waveform)
print(resident_kb())
