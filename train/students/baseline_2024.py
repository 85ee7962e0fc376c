"""The DCASE 2024 and 2025 Task 1 baseline: a narrower CP-Mobile with later strides and without GRN.

Schmid et al., "Data-efficient low-complexity acoustic scene classification in the DCASE 2024 challenge",
arXiv 2405.10018; https://github.com/CPJKU/dcase2024_task1_baseline, whose checkpoints load as they are.
"""

from __future__ import annotations

from typing import Any, ClassVar

from train.students.cp_mobile import CPMobile
from train.students.shapes import Shapes


class Baseline2024(CPMobile):
    """61,148 parameters, 29,419,156 MACs a second with the front end ``baseline_mel`` (256 x 65).

    Args:
        n_classes: number of labels.
        base_channels: width after the stem.
        channels_multiplier: growth of the width from stage to stage.
        expansion_rate: growth of the width inside a block.
    """

    frontend: ClassVar[str] = "baseline_mel"
    not_in_weights: ClassVar[tuple[str, ...]] = ()
    published_by: ClassVar[str] = "CP-JKU's baselines of DCASE 2024 and 2025 (without a licence)"

    def __init__(
        self,
        n_classes: int = 10,
        base_channels: int = 32,
        channels_multiplier: float = 1.8,
        expansion_rate: float = 2.1,
    ) -> None:
        super().__init__(
            n_classes,
            base_channels,
            channels_multiplier,
            expansion_rate,
            n_blocks=(3, 2, 1),
            strides={"b3": (1, 2), "b4": (2, 1)},
            grn=False,
        )

    @classmethod
    def infer_arguments(cls, shapes: Shapes) -> dict[str, Any] | None:
        """The arguments that give weights of these shapes; None where no arguments do."""
        arguments = super().infer_arguments(shapes)
        if arguments is None or arguments.pop("grn") or arguments.pop("n_blocks") != [3, 2, 1]:
            return None
        return arguments
