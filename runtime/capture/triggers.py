"""What a capture is made for: the onset of an event, or a score that nearly made one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from runtime.capture.capture_name import CaptureKind
from runtime.model.prediction import Prediction
from runtime.streaming.events import Event, EventRules

NEAR = 0.8  # part of its threshold from which a score is a close miss
REACH_S = 3.0  # from the middle of a capture to the window that decides on it, at most


@dataclass(frozen=True)
class Trigger:
    """A reason for a capture.

    Attributes:
        label: of the class.
        kind: ``event`` or ``miss``.
        score: the highest smoothed probability so far.
        centre_s: what the capture is to have in its middle, seconds of the stream.
    """

    label: str
    kind: CaptureKind
    score: float
    centre_s: float


@dataclass
class _Rise:
    """A score that is near its threshold or above it, without an event so far."""

    since_s: float
    peak: float = -1.0
    centre_s: float = 0.0  # of the window with the peak


class TriggerDetector:
    """Finds events and close misses in the results of one stream.

    A close miss is a smoothed score of at least `NEAR` of its threshold for which no event is reported,
    because it stays below or does not last. It is found where the score falls again, or after `REACH_S` below
    the threshold, and not again before the score has fallen. What the event detector ignores for a while
    after an event is none.

    Args:
        rules: of the events.

    Example:
        >>> detector = TriggerDetector(EventRules(enter=0.5))
        >>> def window(end_s, dog):
        ...     return Prediction("dog", dog, {"dog": dog}, end_s - 1.0, end_s)
        >>> for end_s, dog in ((1.0, 0.1), (1.25, 0.45), (1.5, 0.42), (1.75, 0.1)):
        ...     found = detector.push(window(end_s, dog), ())
        >>> found
        [Trigger(label='dog', kind='miss', score=0.45, centre_s=0.75)]
    """

    def __init__(self, rules: EventRules) -> None:
        self._rules = rules
        self._rises: dict[str, _Rise] = {}
        self._active: set[str] = set()  # labels of events that go on
        self._fall_first: set[str] = set()  # labels whose scores have to fall before they can rise again
        self._quiet_until: dict[str, float] = {}
        self._end_s = 0.0  # of the newest window

    def push(self, smoothed: Prediction, events: Iterable[Event]) -> list[Trigger]:
        """Take in the next window, smoothed, and what began or ended with it."""
        self._end_s = smoothed.end_s
        found = [trigger for event in events if (trigger := self._take(event, smoothed)) is not None]
        if smoothed.state == "gap":
            return found + self.finish()
        scores = smoothed.scores or dict.fromkeys([*self._rises, *self._fall_first], 0.0)
        for label, score in scores.items():
            found += self._step(label, score, smoothed)
        return sorted(found, key=lambda trigger: (trigger.kind, -trigger.score))  # events first

    def finish(self) -> list[Trigger]:
        """End the stream, or a stretch of it without a gap."""
        return [self._miss(label) for label in list(self._rises)]

    def _take(self, event: Event, window: Prediction) -> Trigger | None:
        if event.end_s is not None:
            self._active.discard(event.label)
            self._fall_first.add(event.label)
            self._quiet_until[event.label] = event.end_s + self._rules.cooldown_s
            return None
        self._active.add(event.label)
        self._rises.pop(event.label, None)
        return self._trigger(event.label, "event", event.probability, (event.start_s + window.end_s) / 2)

    def _step(self, label: str, score: float, window: Prediction) -> list[Trigger]:
        """Move one class on by a window."""
        if label in self._active:
            return []
        if score < NEAR * self._rules.threshold(label):
            self._fall_first.discard(label)
            return [self._miss(label)] if label in self._rises else []
        if label in self._fall_first or window.end_s < self._quiet_until.get(label, -math.inf):
            return []
        rise = self._rises.setdefault(label, _Rise(window.end_s))
        if score > rise.peak:
            rise.peak, rise.centre_s = score, (window.start_s + window.end_s) / 2
        may_last = score >= self._rules.threshold(label)  # then it becomes an event, or falls
        if may_last or window.end_s - rise.since_s < REACH_S:
            return []
        self._fall_first.add(label)
        return [self._miss(label)]

    def _miss(self, label: str) -> Trigger:
        rise = self._rises.pop(label)
        return self._trigger(label, "miss", rise.peak, rise.centre_s)

    def _trigger(self, label: str, kind: CaptureKind, score: float, centre_s: float) -> Trigger:
        return Trigger(label, kind, score, max(centre_s, self._end_s - REACH_S))
