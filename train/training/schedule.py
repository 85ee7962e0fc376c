"""How the learning rate moves from step to step: pure numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from runtime.errors import ConfigError


@dataclass(frozen=True)
class Schedule:
    """After the warm-up: a plateau, a way down, a floor or another start. Shares are of all steps.

    Attributes:
        hold: share of steps at the peak.
        decay: shape of the way down.
        down: share of steps for the way down; null takes what is left.
        floor: where it ends, as a share of the peak.
        growth: begin again at the peak, with every way down so many times as long as the one before; null
            never does. Warm restarts (Loshchilov & Hutter, ICLR 2017) with T_0 of 10 in 150 epochs and
            T_mult 2 are ``down: 0.0667, growth: 2``.

    Raises:
        ConfigError: where a value makes no sense.
    """

    hold: float = 0.0
    decay: Literal["cosine", "linear"] = "cosine"
    down: float | None = None
    floor: float = 0.0
    growth: float | None = None

    def __post_init__(self) -> None:
        shares = (self.hold, self.floor, 0.0 if self.down is None else self.down)
        if not all(0 <= share <= 1 for share in shares):
            raise ConfigError("The schedule's hold, down and floor are shares, from 0 to 1.")
        if self.growth is not None and (self.growth < 1 or not self.down):
            raise ConfigError(
                "Restarts need schedule.down, the share of steps until the first one, and a "
                "schedule.growth of 1 or more."
            )

    def factor(self, step: int, steps: int, warmup: float) -> float:
        """Learning rate over its peak at a step, after an exponential warm-up (Laine & Aila, ICLR 2017).

        Args:
            step: from 0.
            steps: of the whole training.
            warmup: share of steps of the warm-up; 0 begins at the peak.
        """
        warm = round(warmup * steps)
        if step < warm:
            return float(np.exp(-5 * (1 - step / warm) ** 2))
        begin = warm + round(self.hold * steps)
        length = steps - begin if self.down is None else round(self.down * steps)
        since, length = max(step - begin, 0), max(length, 1)
        while self.growth is not None and since >= length:
            since, length = since - length, round(length * self.growth)
        done = min(since / length, 1.0)
        left = 0.5 * (1 + np.cos(np.pi * done)) if self.decay == "cosine" else 1 - done
        return float(self.floor + (1 - self.floor) * left)
