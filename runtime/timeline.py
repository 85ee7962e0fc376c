"""Predictions as text: lines for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import Any

from runtime.events import Event
from runtime.prediction import Prediction

STATES = {"no_signal": "(no signal)", "gap": "(samples lost)", "unknown": "(unknown)"}


def to_json(prediction: Prediction, smoothed: Prediction | None = None, **more: Any) -> str:
    """One line of JSON with the prediction's fields, the smoothed ones, and others such as a file's name."""
    fields = {**more, **dataclasses.asdict(prediction)}
    if smoothed is not None:
        names = ("label", "probability", "scores", "state")
        fields["smoothed"] = {name: getattr(smoothed, name) for name in names}
    return json.dumps(fields, allow_nan=False)


def event_to_json(event: Event, **more: Any) -> str:
    """One line of JSON with the event's fields, its kind as ``event``."""
    fields = dataclasses.asdict(event)
    return json.dumps({**more, "event": fields.pop("kind"), **fields}, allow_nan=False)


def event_line(event: Event) -> str:
    """A line such as ``12.25 s  onset   dog 0.93``."""
    at_s = event.start_s if event.end_s is None else event.end_s
    return f"{at_s:9.2f} s  {event.kind:6}  {event.label} {event.probability:.2f}"


def describe(prediction: Prediction, top: int = 1) -> str:
    """The label and its probability, with the runners-up where ``top`` asks for more."""
    if not prediction.scores:
        return STATES[prediction.state]
    doubt = f"{STATES[prediction.state]}  " if prediction.label is None else ""
    best = sorted(prediction.scores.items(), key=lambda item: -item[1])[:top]
    return doubt + "  ".join(f"{label} {score:.2f}" for label, score in best)


def runs(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
    """Join neighbours with the same label into one, whose probability is their mean.

    Overlapping windows end where the next run begins to speak; the scores are dropped.
    """
    current: Prediction | None = None
    total, count = 0.0, 0
    for prediction in predictions:
        same = current and (prediction.label, prediction.state) == (current.label, current.state)
        if current is not None and not same:
            yield current
        if not same:
            current, total, count = dataclasses.replace(prediction, scores={}), 0.0, 0
        assert current is not None
        total, count = total + (prediction.probability or 0.0), count + 1
        mean = total / count if prediction.label else None
        current = dataclasses.replace(current, end_s=prediction.end_s, probability=mean)
    if current is not None:
        yield current


def line(run: Prediction) -> str:
    """A line of the time line, such as ``0.0 -    3.0 s  dog 0.98``."""
    what = f"{run.label} {run.probability:.2f}" if run.label else STATES[run.state]
    return f"{run.start_s:9.2f} - {run.end_s:9.2f} s  {what}"
