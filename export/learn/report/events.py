"""The events that `listen` reports of sounds that nothing was trained on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from export.evenly_spread import evenly_spread
from export.learn.data.negatives import Negatives
from export.verification.window_scores import Array
from runtime.audio.samples import as_float
from runtime.classifier import Model
from runtime.live.overload import DEFAULT_HOP_S
from runtime.streaming.events import EventRules, onsets
from train.data import ClipData
from train.quantization.quality import Share

_MOST_CLIPS, _MOST_S = 200, 30  # that are listened to, and seconds of each: half a minute of work


@dataclass(frozen=True)
class Events:
    """How many events there are, with the thresholds and times of `listen`.

    Attributes:
        own: label to its clips that give an event of it.
        another: clips that give an event of another class.
        of_others: events that the sounds of none of the classes give.
        others_s: seconds of these sounds.
        only_noise: whether these are synthetic noise alone.
    """

    own: dict[str, Share]
    another: Share
    of_others: int
    others_s: float
    only_noise: bool = False


def measure_events(model: Model, data: ClipData, negatives: Negatives) -> Events:
    """Listen to held-out clips and negatives, each of them between silence.

    Of many clips some, evenly apart, and of a long sound its beginning.

    Args:
        model: the file, loaded.
        data: set up for validation, at the model's rate: the held-out recordings.
        negatives: sounds of none of the classes, of which some are held out.
    """
    dataset, rate = data.datasets["val"], model.spec.frontend.sample_rate
    chosen = evenly_spread(range(len(dataset.clips)), _MOST_CLIPS)
    own, total, another = Counter[str](), Counter[str](), 0
    for clip in tqdm(chosen, desc="events", unit="clip", disable=None, leave=False):
        label = data.labels[int(dataset.targets[clip].argmax())]
        found = set(events_of(model, as_float(dataset.samples[clip][: _MOST_S * rate])))
        total[label] += 1
        own[label] += label in found
        another += bool(found - {label})
    of_others, others_s = _events_of_others(model, negatives)
    return Events(
        own={label: Share(own[label], total[label]) for label in data.labels if total[label]},
        another=Share(another, total.total()),
        of_others=of_others,
        others_s=others_s,
        only_noise=not negatives.held_out,
    )


def _events_of_others(model: Model, negatives: Negatives) -> tuple[int, float]:
    """Events and seconds of the negatives; one is in memory at a time, for one may be hours long."""
    rate, count, samples = model.spec.frontend.sample_rate, 0, 0
    for wave in negatives.sounds(rate):
        beginning = wave[: _MOST_S * rate]
        count += len(events_of(model, beginning))
        samples += len(beginning)
    return count, samples / rate


def events_of(model: Model, waveform: Array) -> list[str]:
    """The labels of the events that `listen` reports of a sound between two windows of silence.

    Without the silence a sound that is shorter than a window would fill one window alone, in which no event
    can last.

    Args:
        model: with the thresholds of its file.
        waveform: float32 [samples] at the model's rate.
    """
    silence = np.zeros(model.spec.clip_samples, np.float32)
    between = np.concatenate([silence, waveform, silence])
    windows = model.windows(between, model.spec.frontend.sample_rate, DEFAULT_HOP_S)
    return onsets(windows, EventRules.of(model.spec))
