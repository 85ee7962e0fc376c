"""What the runtime answers: a label for a stretch of time, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from runtime.spec import ModelSpec

State = Literal["ok", "no_signal", "gap", "unknown"]


@dataclass(frozen=True)
class Prediction:
    """An answer for the time from ``start_s`` to ``end_s`` of a stream.

    Attributes:
        label: the most probable class; None unless ``state`` is ``ok``.
        probability: of that class, 0 to 1; None where nothing was computed.
        scores: label to probability, in the order of the model's labels; empty where nothing was computed.
        start_s: seconds since the stream began.
        end_s: seconds since the stream began.
        state: ``ok``; ``no_signal`` (zeros, a constant, or too quiet to tell); ``gap`` (samples were
            lost); ``unknown`` (heard, but like no class: only `runtime.streaming.events` decides that).

    Example:
        >>> prediction = heard({"rain": 0.2, "dog": 0.8}, start_s=0.0, end_s=1.0)
        >>> prediction.label, prediction.probability, prediction.state
        ('dog', 0.8, 'ok')
    """

    label: str | None
    probability: float | None
    scores: dict[str, float]
    start_s: float
    end_s: float
    state: State = "ok"


def unheard(state: State, start_s: float, end_s: float) -> Prediction:
    """The answer for a window that holds nothing to classify."""
    return Prediction(None, None, {}, start_s, end_s, state)


def heard(scores: dict[str, float], start_s: float, end_s: float) -> Prediction:
    """The answer with these scores; of equal ones the first label wins."""
    label = max(scores, key=lambda name: scores[name])
    return Prediction(label, scores[label], scores, start_s, end_s)


def to_scores(logits: npt.NDArray[np.float32], spec: ModelSpec) -> dict[str, float]:
    """Calibrated probabilities of one window's logits [classes]: softmax, or sigmoid for multi-label."""
    x = logits.astype(np.float64) / spec.temperature
    if spec.task == "multi_label":
        probabilities = 1 / (1 + np.exp(-x))
    else:
        powers = np.exp(x - x.max())
        probabilities = powers / powers.sum()
    return dict(zip(spec.labels, probabilities.tolist(), strict=True))


class ClipMean:
    """The answer for a whole clip: the mean of its windows' scores, those without signal left out.

    Keeps sums only, so a clip may be hours long.

    Example:
        >>> mean = ClipMean()
        >>> mean.add(heard({"rain": 0.25, "dog": 0.75}, 0.0, 1.0))
        >>> mean.add(heard({"rain": 0.75, "dog": 0.25}, 1.0, 2.0))
        >>> mean.answer().scores
        {'rain': 0.5, 'dog': 0.5}
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._heard = 0
        self._end_s = 0.0
        self._state: State = "no_signal"

    def add(self, window: Prediction) -> None:
        """Count a window in."""
        self._end_s = max(self._end_s, window.end_s)
        if window.state == "gap":
            self._state = "gap"
        if not window.scores:
            return
        self._heard += 1
        for label, score in window.scores.items():
            self._sums[label] = self._sums.get(label, 0.0) + score

    def answer(self) -> Prediction:
        """The mean of what was counted in; ``no_signal`` or ``gap`` where no window was heard."""
        if not self._heard:
            return unheard(self._state, 0.0, self._end_s)
        return heard({label: total / self._heard for label, total in self._sums.items()}, 0.0, self._end_s)


def clip_mean(windows: Iterable[Prediction]) -> Prediction:
    """`ClipMean` of all of them."""
    mean = ClipMean()
    for window in windows:
        mean.add(window)
    return mean.answer()
