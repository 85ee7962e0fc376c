"""From scores over time to events: smoothing, two thresholds, a shortest duration and a pause afterwards.

Files and microphones go through the same detector. All times are seconds of the stream, so they do not
depend on the hop.

Smoothing works on log-odds, log(p / (1 - p)). An average of probabilities needs 4.6 time constants to reach
0.99, however confident the network is, and a dog's bark is over by then. An average of log-odds reaches 0.99
sooner the more confident the network is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from runtime.errors import ConfigError
from runtime.model.prediction import Prediction
from runtime.spec import ModelSpec

# Probabilities count as these at the least and at the most, so that no window outweighs many others.
LOWEST, HIGHEST = 0.01, 0.9999


@dataclass(frozen=True)
class EventRules:
    """When an event of a class begins, and when it ends.

    Attributes:
        enter: smoothed probability from which an event of any class begins.
        enter_of: the same for single classes; they come first.
        exit_ratio: an event ends below this part of its enter threshold.
        smoothing_s: time constant of the exponential moving average of the log-odds; 0 switches it off.
        min_duration_s: an event is reported once the smoothed score held its threshold for so long.
        cooldown_s: after its end no event of the same class begins for so long.

    Raises:
        ConfigError: where a value makes no sense.

    Example:
        >>> rules = EventRules(enter=0.6, enter_of={"dog": 0.8}, smoothing_s=1.0)
        >>> rules.threshold("dog"), rules.threshold("rain")
        (0.8, 0.6)
    """

    enter: float = 0.5
    enter_of: Mapping[str, float] = field(default_factory=dict)
    exit_ratio: float = 0.7
    smoothing_s: float = 0.5
    min_duration_s: float = 0.5
    cooldown_s: float = 1.0

    def __post_init__(self) -> None:
        if not all(0 < threshold <= 1 for threshold in (self.enter, *self.enter_of.values())):
            raise ConfigError("An event's threshold is a probability above 0 and up to 1, such as 0.6.")
        if not 0 < self.exit_ratio <= 1:
            raise ConfigError(f"exit_ratio is {self.exit_ratio}: give a part of the threshold, such as 0.7.")
        times = (self.smoothing_s, self.min_duration_s, self.cooldown_s)
        if not all(math.isfinite(seconds) and seconds >= 0 for seconds in times):
            raise ConfigError(f"The times of events are 0 or more seconds, not {times}.")

    @classmethod
    def of(cls, spec: ModelSpec, overrides: Mapping[str, float] | None = None, **times: float) -> EventRules:
        """The rules with the thresholds that the model file carries.

        Args:
            spec: of the model.
            overrides: thresholds of single classes in place of those.
            times: other fields, such as ``smoothing_s``.
        """
        overrides = overrides or {}
        if unknown := sorted(set(overrides) - set(spec.labels)):
            raise ConfigError(
                f"The model has no class {', '.join(unknown)}: its classes are {', '.join(spec.labels)}."
            )
        return cls(enter_of={**spec.thresholds, **overrides}, **times)

    def threshold(self, label: str) -> float:
        """The probability from which an event of this class begins."""
        return self.enter_of.get(label, self.enter)

    def reached(self, scores: Mapping[str, float]) -> list[str]:
        """The labels whose probabilities reach their thresholds, the most probable first."""
        return sorted(
            (label for label in scores if scores[label] >= self.threshold(label)),
            key=lambda label: -scores[label],
        )


@dataclass(frozen=True)
class Event:
    """Something began or ended.

    Attributes:
        label: of the class.
        kind: ``onset`` or ``offset``.
        start_s: where its first window begins, seconds of the stream.
        end_s: where its last window ends; None at the onset.
        probability: the highest smoothed probability so far.

    Example:
        >>> detector = EventDetector(EventRules(smoothing_s=0, min_duration_s=0))
        >>> detector.push(Prediction("dog", 0.9, {"dog": 0.9}, 0.0, 1.0))[1]
        [Event(label='dog', kind='onset', start_s=0.0, end_s=None, probability=0.9)]
    """

    label: str
    kind: Literal["onset", "offset"]
    start_s: float
    end_s: float | None
    probability: float


@dataclass
class _Track:
    """The detector's state for one class."""

    above_since: float | None = None  # end of the first window above the threshold
    start_s: float = 0.0
    end_s: float = 0.0
    peak: float = 0.0
    reported: bool = False
    quiet_until: float = -math.inf


class EventDetector:
    """Turns the predictions of one stream into smoothed predictions and events.

    Args:
        rules: when events begin and end.

    Example:
        >>> detector = EventDetector(EventRules(smoothing_s=0, min_duration_s=0.5))
        >>> def window(start, dog):
        ...     return Prediction("dog", dog, {"dog": dog, "rain": 1 - dog}, start, start + 1.0)
        >>> [e.kind for t in range(4) for e in detector.push(window(t / 4, 0.9))[1] if e.label == "dog"]
        ['onset']
    """

    def __init__(self, rules: EventRules) -> None:
        self.rules = rules
        self.reset()

    def reset(self) -> None:
        """Forget everything, as for a new stream."""
        self._smoothed: dict[str, float] = {}
        self._end_s = 0.0  # of the last window without lost samples
        self._tracks: dict[str, _Track] = {}

    def push(self, raw: Prediction) -> tuple[Prediction, list[Event]]:
        """Take in the next window.

        A window without signal counts as a score of zero for every class. One with lost samples changes
        neither the scores nor a reported event; an event that is not yet reported has to begin anew.

        Returns:
            the smoothed prediction, of the most probable class that reaches its threshold and ``unknown``
            where none does, and what began or ended.
        """
        if raw.state == "gap":
            for track in self._tracks.values():
                track.above_since = track.above_since if track.reported else None
            return raw, []
        scores = raw.scores or dict.fromkeys(self._smoothed, 0.0)
        self._smooth(scores, raw.end_s)
        events = [event for label in scores if (event := self._step(label, raw)) is not None]
        return self._describe(raw), events

    def flush(self) -> list[Event]:
        """End the stream: an event that is still on ends with its last window."""
        events = [self._offset(label, track) for label, track in self._tracks.items() if track.reported]
        self.reset()
        return events

    def _smooth(self, scores: dict[str, float], end_s: float) -> None:
        """Exponential moving average of the log-odds, weighted by the time since the last window."""
        passed, tau = end_s - self._end_s, self.rules.smoothing_s
        self._end_s = end_s
        if not (tau and self._smoothed):
            self._smoothed = dict(scores)
            return
        weight = 1 - math.exp(-passed / tau)
        for label, score in scores.items():
            last = _log_odds(self._smoothed[label])
            self._smoothed[label] = 1 / (1 + math.exp(-last - weight * (_log_odds(score) - last)))

    def _step(self, label: str, raw: Prediction) -> Event | None:
        """Move one class on by a window: below, above but too short, reported."""
        track, score = self._tracks.setdefault(label, _Track()), self._smoothed[label]
        enter = self.rules.threshold(label)
        if track.above_since is None:
            if score < enter or raw.end_s < track.quiet_until:
                return None
            track.above_since, track.start_s, track.peak = raw.end_s, raw.start_s, 0.0
        if score < enter * self.rules.exit_ratio or (score < enter and not track.reported):
            event = self._offset(label, track) if track.reported else None
            track.above_since, track.reported = None, False
            return event
        track.end_s, track.peak = raw.end_s, max(track.peak, score)
        if track.reported or raw.end_s - track.above_since < self.rules.min_duration_s:
            return None
        track.reported = True
        return Event(label, "onset", track.start_s, None, track.peak)

    def _offset(self, label: str, track: _Track) -> Event:
        track.quiet_until = track.end_s + self.rules.cooldown_s
        return Event(label, "offset", track.start_s, track.end_s, track.peak)

    def _describe(self, raw: Prediction) -> Prediction:
        if not raw.scores:
            return raw
        smoothed = dict(self._smoothed)
        known = self.rules.reached(smoothed)
        best = known[0] if known else max(smoothed, key=lambda label: smoothed[label])
        return replace(
            raw, label=best if known else None, probability=smoothed[best], scores=smoothed,
            state="ok" if known else "unknown",
        )  # fmt: skip


def onsets(windows: Iterable[Prediction], rules: EventRules) -> list[str]:
    """The labels of the events that begin in the windows of a stream, in the order of their reports."""
    detector = EventDetector(rules)
    return [event.label for window in windows for event in detector.push(window)[1] if event.kind == "onset"]


def _log_odds(probability: float) -> float:
    p = min(max(probability, LOWEST), HIGHEST)
    return math.log(p / (1 - p))
