"""The microcontrollers that a model can be compiled for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A processor.

    Attributes:
        name: what ``--target`` and the Makefile of the exported C call it.
        coremark_per_mhz: iterations of CoreMark in a million cycles, as published.
        coremark_instructions: of an iteration, as GCC 12 compiles it with -O3, counted under QEMU (for
            cortex-m0plus on a Cortex-M3, which runs the same instructions).
    """

    name: str
    coremark_per_mhz: float
    coremark_instructions: int

    @property
    def cycles_per_instruction(self) -> float:
        """Those of CoreMark, which is scalar code.

        It has no memory waits, and Arm's compiler, which published scores are made with, needs fewer
        instructions than GCC: an estimate from below.
        """
        return 1e6 / self.coremark_per_mhz / self.coremark_instructions


TARGETS = {
    target.name: target
    for target in (
        Target("cortex-m0plus", 2.46, 370_395),
        Target("cortex-m4", 3.40, 290_338),
        Target("cortex-m7", 5.01, 280_989),
        Target("cortex-m33", 4.02, 290_376),
        Target("cortex-m55", 4.40, 276_800),
    )
}
