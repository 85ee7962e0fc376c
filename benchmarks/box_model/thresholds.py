"""Thresholds of events: most clips of the classes are reported, and few negatives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.signal import lfilter
from scipy.special import expit, logit
from tqdm import tqdm

from benchmarks.box_model.measurement import HOP_S
from runtime.errors import TinysceneError
from runtime.model.prediction import Prediction, classified, unclassified
from runtime.streaming.events import HIGHEST, LOWEST, EventRules, onsets

Scores = npt.NDArray[np.floating]
Counts = npt.NDArray[np.int_]

# Events that thresholds allow each kind of the negatives that they are fitted on; new sounds give more.
EVENTS_PER_HOUR = 0.25
# Blows, cries and signals of games, one after the other: an hour holds a thousand and more. A stricter
# limit takes many of the events of the classes away.
OF_OTHER_SOUNDS = 1.0
CALM_S = 3.0  # of a room in which no class is likelier than others, before each clip
# that thresholds are taken from, at equal steps of log-odds; 1 is never reached
GRID = (*(round(float(p), 5) for p in expit(np.linspace(logit(0.3), logit(0.9998), 60))), 1.0)
_RAISED = 1e-6  # what a step of `GRID` costs: of thresholds that are worth the same the lowest is taken


def events(scores: Scores, labels: Sequence[str], rules: EventRules, clip_s: float = 1.0) -> list[str]:
    """The labels of the events that a stream of scores [windows, classes] gives.

    Args:
        scores: at a hop of `HOP_S`; a row of NaN where there is no signal.
        labels: of the scores.
        rules: of the detector.
        clip_s: seconds of a window.
    """
    return onsets(_windows(scores, labels, clip_s), rules)


def _windows(scores: Scores, labels: Sequence[str], clip_s: float) -> Iterator[Prediction]:
    for number, row in enumerate(scores):
        start, end = number * HOP_S, number * HOP_S + clip_s
        if np.isnan(row).any():
            yield unclassified("no_signal", start, end)
        else:
            yield classified(dict(zip(labels, row.tolist(), strict=True)), start, end)


def smoothed(scores: Scores, rules: EventRules) -> Scores:
    """Scores [windows, classes] as `EventDetector` smooths them.

    Args:
        scores: of a stream, at a hop of `HOP_S`; a row of NaN where there is no signal.
        rules: of the detector.
    """
    silent = np.isnan(scores).any(axis=1)
    if silent.all():
        return np.zeros(scores.shape)
    first = int(silent.argmin())  # the average begins with the first window that has a signal
    weight = 1 - np.exp(-HOP_S / rules.smoothing_s) if rules.smoothing_s else 1.0
    odds = logit(np.nan_to_num(scores[first:]).astype(float).clip(LOWEST, HIGHEST))
    averaged, _ = lfilter([weight], [1, weight - 1], odds, axis=0, zi=(1 - weight) * odds[:1])
    return np.concatenate([np.zeros((first, scores.shape[1])), expit(averaged)])


def count_events(scores: Scores, threshold: float, rules: EventRules) -> int:
    """The events that `EventDetector` reports of one class.

    Args:
        scores: [windows], smoothed.
        threshold: of the class.
        rules: the times, and the ratio of the lower threshold.
    """
    above = np.flatnonzero(scores >= threshold)
    runs = np.split(above, np.flatnonzero(np.diff(above) > 1) + 1) if len(above) else []
    held, pause = (math.ceil(seconds / HOP_S) for seconds in (rules.min_duration_s, rules.cooldown_s))
    found, free = 0, 0  # events, and the first window that can begin the next one
    for run in runs:
        if run[-1] - max(run[0], free) < held:
            continue
        found += 1
        below = np.flatnonzero(scores[run[-1] :] < threshold * rules.exit_ratio)
        free = run[-1] + below[0] - 1 + pause if len(below) else len(scores)
    return found


def after_calm(scores: Scores) -> Scores:
    """A stream [windows, classes] as it goes on after `CALM_S` of a calm room.

    A stream's first window counts in full, so that a clip alone would be reported sooner than a sound that a
    microphone hears after others.
    """
    classes = scores.shape[1]
    return np.concatenate([np.full((round(CALM_S / HOP_S), classes), 1 / classes), scores])


@dataclass(frozen=True)
class EventCounts:
    """How many events each label gives at each threshold of `GRID`.

    Attributes:
        clips: clips of a label's class that give an event of it; [labels, thresholds].
        negatives: kind to events; [labels, thresholds].
        hours: kind to the hours that were counted.
    """

    clips: Counts
    negatives: Mapping[str, Counts]
    hours: Mapping[str, float]

    @classmethod
    def of(
        cls,
        clips: Sequence[tuple[int, Scores]],
        negatives: Mapping[str, Sequence[Scores]],
        labels: Sequence[str],
    ) -> EventCounts:
        """Count them.

        Args:
            clips: the number of the class and the scores [windows, classes] of each clip.
            negatives: kind to streams of scores, one of each model.
            labels: of the scores.
        """
        reported = np.zeros((len(labels), len(GRID)), int)
        for target, scores in clips:
            reported[target] += _at_thresholds(after_calm(scores))[target] > 0
        found = {
            kind: sum(map(_at_thresholds, streams), np.zeros_like(reported))
            for kind, streams in tqdm(negatives.items(), desc="events", disable=None)
        }
        hours = {kind: sum(map(len, streams)) * HOP_S / 3600 for kind, streams in negatives.items()}
        return cls(reported, found, hours)

    def __add__(self, other: EventCounts) -> EventCounts:
        """The counts of the same clips, and of the negatives of both."""
        negatives = {kind: counts + other.negatives[kind] for kind, counts in self.negatives.items()}
        hours = {kind: hours + other.hours[kind] for kind, hours in self.hours.items()}
        return EventCounts(self.clips, negatives, hours)

    def allowed(self, kind: str) -> float:
        """Events that a kind may give.

        One it always may: too few hours of it cannot show that it gives none.
        """
        return max(1.0, allowed_per_hour(kind) * self.hours[kind])

    def at(self, thresholds: Mapping[str, float]) -> dict[str, dict[str, int]]:
        """Kind to the events of each label, at a threshold of `GRID` for each."""
        places = [GRID.index(threshold) for threshold in thresholds.values()]
        return {
            kind: {
                label: int(row[place]) for label, row, place in zip(thresholds, counts, places, strict=True)
            }
            for kind, counts in self.negatives.items()
        }


def allowed_per_hour(kind: str) -> float:
    """Events an hour that thresholds allow a kind of negatives."""
    return OF_OTHER_SOUNDS if kind == "other sounds" else EVENTS_PER_HOUR


def _at_thresholds(scores: Scores) -> Counts:
    """Events of a stream of scores [windows, classes] at the thresholds of `GRID`: [classes, thresholds]."""
    rules = EventRules()
    columns = smoothed(scores, rules).T
    return np.array([[count_events(column, enter, rules) for enter in GRID] for column in columns])


def quiet_thresholds(
    counts: EventCounts, labels: Sequence[str], lowest: Mapping[str, float]
) -> dict[str, float]:
    """The thresholds that report most clips, where no kind of negatives gives more events than it may.

    An integer program: each label takes one threshold of `GRID`. The reported clips of a label count by their
    square root, so that no label is given up for the sake of others.

    Args:
        counts: of sounds that no model was trained on.
        labels: of the counts.
        lowest: label to the least threshold that it may take.

    Raises:
        TinysceneError: where the solver fails.
    """
    grid = np.array(GRID)
    worth = np.sqrt(counts.clips) - _RAISED * np.arange(len(grid))
    one_each = LinearConstraint(np.kron(np.eye(len(labels)), np.ones(len(grid))), 1, 1)
    quiet = [
        LinearConstraint(events.ravel(), 0, counts.allowed(kind)) for kind, events in counts.negatives.items()
    ]
    free = np.array([grid >= lowest[label] for label in labels], float)
    solved = milp(
        -worth.ravel(), constraints=[one_each, *quiet], bounds=Bounds(0, free.ravel()), integrality=1
    )
    if solved.x is None:
        raise TinysceneError(f"The thresholds of events could not be fitted: {solved.message}")
    places = solved.x.reshape(worth.shape).argmax(axis=1)
    return {label: GRID[place] for label, place in zip(labels, places, strict=True)}
