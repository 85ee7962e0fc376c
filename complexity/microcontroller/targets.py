"""The microcontrollers that a model can be compiled for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A processor.

    Attributes:
        name: what ``--target`` and the Makefile of the exported C call it.
        cycles_per_instruction: those of CoreMark, which is scalar code: the cycles of an iteration by
            published scores (3.40, 5.01, 4.02, 4.40 iterations per million cycles) over its instructions as
            GCC 12 compiles it with -O3, counted under QEMU (290,338, 280,989, 290,376 and 276,800). No
            memory waits, and Arm's compiler needs fewer instructions: an estimate from below.
    """

    name: str
    cycles_per_instruction: float


TARGETS = {
    target.name: target
    for target in (
        Target("cortex-m4", 1.01),
        Target("cortex-m7", 0.71),
        Target("cortex-m33", 0.86),
        Target("cortex-m55", 0.82),
    )
}
