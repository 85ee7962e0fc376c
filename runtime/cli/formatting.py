"""Predictions as text: lines for people, JSON for programs."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.files import printable
from runtime.live.json_fields import event_fields, prediction_fields
from runtime.model.prediction import Prediction, State
from runtime.spec import Task
from runtime.streaming.events import Event, EventRules

STATES = {"no_signal": "(no signal)", "gap": "(samples lost)", "unknown": "(unknown)"}


def on_one_line(text: str) -> str:
    """Text that may hold a file's name, with control characters and bytes that are not UTF-8 escaped."""
    # not by os.fsencode: in a locale such as Latin-1 it encodes names only, and no other text
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in shown)


def name_on_one_line(path: str | Path) -> str:
    """The name of a file as it was given or found, which is UTF-8 in any locale, as `on_one_line`."""
    return on_one_line(printable(path))


def to_json(prediction: Prediction, smoothed: Prediction | None = None, **more: Any) -> str:
    """One line of JSON, see `prediction_fields`."""
    return json.dumps(prediction_fields(prediction, smoothed, **more), allow_nan=False)


def event_to_json(event: Event, **more: Any) -> str:
    """One line of JSON, see `event_fields`."""
    return json.dumps(event_fields(event, **more), allow_nan=False)


def event_line(event: Event) -> str:
    """A line such as ``12.25 s  onset   dog 0.93``."""
    at_s = event.start_s if event.end_s is None else event.end_s
    return f"{at_s:9.2f} s  {event.kind:6}  {event.label} {event.probability:.2f}"


@dataclass(frozen=True)
class Run:
    """Neighbouring windows with the same labels.

    Attributes:
        start_s: where the first of them begins, seconds.
        end_s: where the last of them ends; overlapping windows end after the next run begins.
        state: of all of them.
        means: mean probability of each of their labels, the most probable first; empty where there is none.
    """

    start_s: float
    end_s: float
    state: State
    means: dict[str, float]


@dataclass(frozen=True)
class LabelFormatter:
    """Which labels of a prediction are shown, and how: one a clip or several.

    Attributes:
        task: of the model. ``single_label``: the label of the prediction. ``multi_label``: all that reach
            their thresholds.
        rules: the thresholds.

    Example:
        >>> formatter = LabelFormatter("multi_label", EventRules(enter_of={"rain": 0.3}))
        >>> scores = {"rain": 0.4, "dog": 0.9, "hum": 0.2}
        >>> formatter.describe(Prediction("dog", 0.9, scores, 0.0, 1.0))
        'dog 0.90  rain 0.40'
    """

    task: Task
    rules: EventRules

    def labels(self, prediction: Prediction) -> list[str]:
        """The labels of a prediction, the most probable first; empty where none is sure."""
        if self.task == "multi_label":
            return self.rules.reached(prediction.scores)
        return [] if prediction.label is None else [prediction.label]

    def likeliest(self, prediction: Prediction, top: int) -> list[str]:
        """``top`` labels, those of the prediction before all others."""
        sure, scores = self.labels(prediction), prediction.scores
        return sorted(scores, key=lambda label: (label not in sure, -scores[label]))[:top]

    def describe(self, prediction: Prediction, top: int = 1) -> str:
        """A prediction in words.

        Args:
            prediction: raw or smoothed.
            top: so many labels where one label belongs to a clip or none is sure; of several that are sure,
                all are shown and no others.
        """
        if not prediction.scores:
            return STATES[prediction.state]
        sure = self.labels(prediction)
        several = self.task == "multi_label" and sure
        shown = sure if several else self.likeliest(prediction, top)
        doubt = "" if sure else f"{STATES['unknown']}  "
        return doubt + "  ".join(f"{label} {prediction.scores[label]:.2f}" for label in shown)

    def runs(self, predictions: Iterable[Prediction]) -> Iterator[Run]:
        """Join neighbours with the same labels."""
        for (state, labels), windows in itertools.groupby(predictions, self._key):
            yield _join(windows, state, labels)

    def _key(self, prediction: Prediction) -> tuple[State, tuple[str, ...]]:
        labels = tuple(sorted(self.labels(prediction)))
        return "unknown" if prediction.scores and not labels else prediction.state, labels


def _join(windows: Iterator[Prediction], state: State, labels: Iterable[str]) -> Run:
    """One run of windows; it stores sums only, so that the run may be hours long."""
    sums = dict.fromkeys(labels, 0.0)
    start_s, end_s = math.inf, 0.0
    count = 0
    for window in windows:
        start_s, end_s, count = min(start_s, window.start_s), window.end_s, count + 1
        for label in sums:
            sums[label] += window.scores[label]
    means = {label: sums[label] / count for label in sorted(sums, key=lambda label: -sums[label])}
    return Run(start_s, end_s, state, means)


def line(run: Run) -> str:
    """A line of the time line, such as ``0.0 -    3.0 s  dog 0.98``."""
    what = "  ".join(f"{label} {mean:.2f}" for label, mean in run.means.items()) or STATES[run.state]
    return f"{run.start_s:9.2f} - {run.end_s:9.2f} s  {what}"
