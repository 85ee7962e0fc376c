"""Temperature and thresholds, fitted on held-out windows and on negatives that were not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from export.evenly_spread import evenly_spread
from export.learn.data.negatives import Negatives
from export.verification.window_scores import (
    Array,
    float_scores_of,
    float_scores_of_parts,
    has_signal,
    parts_of,
    targets_of,
)
from runtime.audio.window_grid import window_starts
from runtime.streaming.events import EventRules
from train.checkpoints.model_pt import Checkpoint
from train.data import ClipData
from train.training.confidence import (
    HIGHEST,
    at_temperature,
    fit_confidence,
    fit_temperature,
    fit_thresholds,
)

_FALSE_ALARMS = 0.05  # share of windows of negatives
_WINDOWS = 2_000  # of negatives, about: 256 MB


def with_confidence(checkpoint: Checkpoint, data: ClipData, negatives: Negatives) -> Checkpoint:
    """The checkpoint with its confidence fitted, negatives among the windows.

    Args:
        checkpoint: the trained student.
        data: set up for validation: the held-out recordings.
        negatives: the sounds of none of the classes.
    """
    at_one = replace(checkpoint, temperature=1.0)
    scores, target = float_scores_of_parts(at_one, parts_of(data, "val")), targets_of(data, "val")
    others = negative_windows(negatives, checkpoint.frontend.sample_rate, checkpoint.clip_samples)
    if checkpoint.task != "single_label" or not len(others):
        return replace(checkpoint, **fit_confidence(scores, target, checkpoint.labels, checkpoint.task))
    temperature = fit_temperature(scores, target)
    negative = at_temperature(float_scores_of(at_one, others), temperature)
    every = np.concatenate([at_temperature(scores, temperature), negative])
    none = np.zeros((len(others), target.shape[1]), target.dtype)
    thresholds = fit_thresholds(every, np.concatenate([target, none]), checkpoint.labels)
    return replace(
        checkpoint,
        temperature=temperature,
        thresholds=thresholds_by_negatives(negative, checkpoint.labels) | thresholds,
    )


def thresholds_by_negatives(scores: npt.NDArray[Any], labels: Sequence[str]) -> dict[str, float]:
    """For each class, the probability that few negatives reach, for classes with few held-out windows.

    Of two classes one always has 0.5 or more, which the runtime's default would report.

    Args:
        scores: of negatives that were not trained on, [windows, classes].
        labels: [classes].
    """
    reached = np.quantile(scores, 1 - _FALSE_ALARMS, axis=0)
    bounded = np.clip(reached, EventRules().enter, HIGHEST)
    return {label: round(float(value), 4) for label, value in zip(labels, bounded, strict=True)}


def negative_windows(negatives: Negatives, sample_rate: int, length: int) -> Array:
    """The windows [windows, samples] of the negatives that are held out, those without signal left out.

    Of each sound some, evenly apart, where it is so long that all of them were too many.
    """
    most = max(_WINDOWS // negatives.count, 1)
    found = [
        np.pad(cut := wave[start : start + length], (0, length - len(cut)))
        for wave in negatives.sounds(sample_rate)
        for start in evenly_spread(window_starts(len(wave), length, length), most)
    ]
    windows = np.stack(found).astype(np.float32)
    return windows[has_signal(windows)]
