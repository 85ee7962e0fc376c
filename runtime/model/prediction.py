"""Predictions: a label for a stretch of time, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from runtime.spec import ModelSpec

State = Literal["ok", "no_signal", "gap", "unknown"]


@dataclass(frozen=True)
class Prediction:
    """The prediction for the time from ``start_s`` to ``end_s`` of a stream.

    Attributes:
        label: the most probable class; None unless ``state`` is ``ok``.
        probability: of that class, 0 to 1; None where nothing was computed.
        scores: label to probability, in the order of the model's labels; empty where nothing was computed.
        start_s: seconds since the stream began.
        end_s: seconds since the stream began.
        state: ``ok``; ``no_signal`` (zeros, a constant, or too quiet to classify); ``gap`` (samples were
            lost); ``unknown`` (no class is probable enough: only `runtime.streaming.events` decides that).

    Example:
        >>> prediction = classified({"rain": 0.2, "dog": 0.8}, start_s=0.0, end_s=1.0)
        >>> prediction.label, prediction.probability, prediction.state
        ('dog', 0.8, 'ok')
    """

    label: str | None
    probability: float | None
    scores: dict[str, float]
    start_s: float
    end_s: float
    state: State = "ok"


def unclassified(state: State, start_s: float, end_s: float) -> Prediction:
    """The prediction for a window that holds nothing to classify."""
    return Prediction(None, None, {}, start_s, end_s, state)


def classified(scores: dict[str, float], start_s: float, end_s: float) -> Prediction:
    """The prediction with these scores; of equal ones the first label wins."""
    label = max(scores, key=scores.__getitem__)
    return Prediction(label, scores[label], scores, start_s, end_s)


def to_scores(logits: npt.NDArray[np.float32], spec: ModelSpec) -> dict[str, float]:
    """Probabilities from one window's logits [classes]: softmax at the model's temperature, or sigmoid."""
    x = [logit / spec.temperature for logit in logits.tolist()]
    if spec.task == "multi_label":
        return {label: _sigmoid(logit) for label, logit in zip(spec.labels, x, strict=True)}
    greatest = max(x)
    powers = [math.exp(logit - greatest) for logit in x]
    total = sum(powers)
    return {label: power / total for label, power in zip(spec.labels, powers, strict=True)}


def _sigmoid(logit: float) -> float:
    power = math.exp(-abs(logit))  # at most 1
    return (1 if logit >= 0 else power) / (1 + power)


class ClipMean:
    """The prediction for a whole clip: the mean of its windows' scores, those without signal left out.

    It stores sums only, so a clip may be hours long.

    Example:
        >>> mean = ClipMean()
        >>> mean.add(classified({"rain": 0.25, "dog": 0.75}, 0.0, 1.0))
        >>> mean.add(classified({"rain": 0.75, "dog": 0.25}, 1.0, 2.0))
        >>> mean.prediction().scores
        {'rain': 0.5, 'dog': 0.5}
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._count = 0
        self._end_s = 0.0
        self._state: State = "no_signal"

    def add(self, window: Prediction) -> None:
        """Count a window in."""
        self._end_s = max(self._end_s, window.end_s)
        if window.state == "gap":
            self._state = "gap"
        if not window.scores:
            return
        self._count += 1
        for label, score in window.scores.items():
            self._sums[label] = self._sums.get(label, 0.0) + score

    def prediction(self) -> Prediction:
        """The mean of what was counted in; ``no_signal`` or ``gap`` where no window has scores."""
        if not self._count:
            return unclassified(self._state, 0.0, self._end_s)
        return classified(
            {label: total / self._count for label, total in self._sums.items()}, 0.0, self._end_s
        )


def clip_mean(windows: Iterable[Prediction]) -> Prediction:
    """`ClipMean` of all of them."""
    mean = ClipMean()
    for window in windows:
        mean.add(window)
    return mean.prediction()
