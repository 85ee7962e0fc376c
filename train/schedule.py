"""How the learning rate moves from step to step: pure numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Schedule:
    """After the warm-up: a plateau, a way down, a floor. Shares are of all steps.

    Attributes:
        hold: share of steps at the peak.
        decay: shape of the way down.
        down: share of steps for the way down; null takes what is left.
        floor: where it ends, as a share of the peak.
    """

    hold: float = 0.0
    decay: Literal["cosine", "linear"] = "cosine"
    down: float | None = None
    floor: float = 0.0

    def factor(self, step: int, steps: int, warmup: float) -> float:
        """Learning rate over its peak at a step, after an exponential warm-up (Laine & Aila, ICLR 2017).

        Args:
            step: from 0.
            steps: of the whole training.
            warmup: share of steps of the warm-up.
        """
        warm = max(round(warmup * steps), 1)
        if step < warm:
            return float(np.exp(-5 * (1 - step / warm) ** 2))
        begin = warm + round(self.hold * steps)
        length = steps - begin if self.down is None else round(self.down * steps)
        done = min(max((step - begin) / max(length, 1), 0.0), 1.0)
        left = 0.5 * (1 + np.cos(np.pi * done)) if self.decay == "cosine" else 1 - done
        return float(self.floor + (1 - self.floor) * left)
