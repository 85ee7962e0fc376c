"""Live results for programs: the JSON fields of `listen --json` and of the page's messages."""

from __future__ import annotations

import dataclasses
import math
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from runtime.model.prediction import Prediction
from runtime.streaming.events import Event

if TYPE_CHECKING:  # `classify` starts without the live loop
    from runtime.live.live_loop import LiveResult


def prediction_fields(
    prediction: Prediction, smoothed: Prediction | None = None, **more: Any
) -> dict[str, Any]:
    """A prediction's fields, the smoothed ones, and others such as a file's name."""
    fields = {**more, **dataclasses.asdict(prediction)}
    if smoothed is not None:
        names = ("label", "probability", "scores", "state")
        fields["smoothed"] = {name: getattr(smoothed, name) for name in names}
    return fields


def window_fields(item: LiveResult) -> dict[str, Any]:
    """A live window's fields: its prediction, the time of day of its end, its level, lag and losses."""
    level = None if math.isinf(item.level_dbfs) else round(item.level_dbfs, 1)
    more = {
        "utc": utc(item.late_s), "gap": item.raw.state == "gap", "late_s": round(item.late_s, 3),
        "dropped": round(item.dropped_s, 3), "level_dbfs": level,
    }  # fmt: skip
    return prediction_fields(item.raw, item.smoothed, source=item.source, **more)


def event_fields(event: Event, **more: Any) -> dict[str, Any]:
    """An event's fields, its kind as ``event``."""
    fields = dataclasses.asdict(event)
    return {**more, "event": fields.pop("kind"), **fields}


def event_ago_s(item: LiveResult, event: Event) -> float:
    """Seconds from the onset or offset of an event to now."""
    return item.late_s + item.raw.end_s - (event.start_s if event.end_s is None else event.end_s)


def utc(ago_s: float) -> str:
    """The time so many seconds ago, ISO 8601; from the clock as it stands now, since it may have been set."""
    return datetime.fromtimestamp(time.time() - ago_s, timezone.utc).isoformat(timespec="milliseconds")
