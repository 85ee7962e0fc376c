"""The learning-rate schedule, as a pure function of the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from runtime.errors import ConfigError


@dataclass(frozen=True)
class Schedule:
    """After the warm-up: a plateau, a decay, and then a floor or restarts. Shares are of all steps.

    Attributes:
        hold: share of steps at the peak.
        decay: shape of the decay.
        down: share of steps of the decay; null takes all steps that are left.
        floor: the rate at the end of the decay, as a share of the peak.
        growth: restart at the peak after each decay, and multiply the length of the decay by this; null
            never restarts. Warm restarts (Loshchilov & Hutter, ICLR 2017) with T_0 of 10 in 150 epochs and
            T_mult 2 are ``down: 0.0667, growth: 2``.

    Raises:
        ConfigError: where a value is out of range.
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
