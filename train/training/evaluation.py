"""Scores of a model on a split, from the probabilities of its windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtri
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from runtime.errors import ConfigError, DataError
from runtime.spec import Task
from train.data import Clip
from train.data.corpus import multi_hot
from train.training.report import Evaluation, MultiLabelEvaluation, SingleLabelEvaluation

Array = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]

# the logged metric by which the best epoch is chosen
MAIN_METRIC: dict[Task, str] = {"single_label": "accuracy", "multi_label": "map"}


def evaluate(
    probabilities: Array,
    clip_of_window: Integers,
    clips: Sequence[Clip],
    labels: Sequence[str],
    device_groups: Mapping[str, Sequence[str]] | None = None,
    task: Task = "single_label",
) -> Evaluation:
    """Score windows and, by the mean of their windows, clips.

    Args:
        probabilities: [windows, classes].
        clip_of_window: [windows], positions in ``clips``.
        clips: the split's clips; those without a window or without a label are left out.
        labels: class names.
        device_groups: name of a group to its devices.
        task: of the corpus.

    Raises:
        DataError: where no clip is labelled.
        ConfigError: where a probability is not finite.
    """
    labelled = np.array([clip.targets is not None for clip in clips])[clip_of_window]
    if not labelled.any():
        raise DataError(
            "None of the clips is labelled, so there is nothing to score: `python -m train predict` writes "
            "the predictions."
        )
    probabilities, clip_of_window = probabilities[labelled], clip_of_window[labelled]
    if broken := int((~np.isfinite(probabilities)).any(axis=1).sum()):
        raise ConfigError(
            f"The scores of {broken} of {len(probabilities)} windows are not finite, so the training has "
            "diverged: train again with a lower model.lr."
        )
    present, index, of_clips = clip_means(probabilities, clip_of_window)
    members = [clips[clip] for clip in present]
    score = _single_label if task == "single_label" else _multi_label
    group_of = {device: name for name, devices in (device_groups or {}).items() for device in devices}
    groups = {
        "per_device": [clip.device for clip in members],
        "per_device_group": [group_of.get(clip.device, "") for clip in members],
        "per_city": [clip.city for clip in members],
    }
    return score(
        probabilities, index, of_clips, multi_hot(members, len(labels)), groups,
        labels=tuple(labels), windows=len(probabilities), clips=len(present),
    )  # fmt: skip


# field of `Evaluation` (per_device, ...) to each clip's group (the name of its device, ...)
Groups = Mapping[str, Sequence[str]]


def _single_label(
    probabilities: Array,
    index: Integers,
    of_clips: Array,
    truth: npt.NDArray[np.bool_],
    groups: Groups,
    **counts: Any,
) -> SingleLabelEvaluation:
    target, predicted = truth.argmax(axis=1), of_clips.argmax(axis=1)
    right = predicted == target
    confusion = np.zeros((truth.shape[1],) * 2, dtype=int)
    np.add.at(confusion, (target, predicted), 1)
    labels = counts["labels"]
    per_class = {
        label: float(right[target == i].mean()) for i, label in enumerate(labels) if (target == i).any()
    }
    of_window = target[index]
    chosen = probabilities[np.arange(len(probabilities)), of_window]
    return SingleLabelEvaluation(
        **counts,
        log_loss=float(-np.log(np.maximum(chosen, 1e-12)).mean()),
        ece=calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == of_window),
        per_class=per_class,
        **_by_group(groups, lambda members: float(right[members].mean())),
        clip_accuracy=float(right.mean()),
        macro_accuracy=float(np.mean(list(per_class.values()))),
        window_accuracy=float((probabilities.argmax(axis=1) == of_window).mean()),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )


def _multi_label(
    probabilities: Array,
    index: Integers,
    of_clips: Array,
    truth: npt.NDArray[np.bool_],
    groups: Groups,
    **counts: Any,
) -> MultiLabelEvaluation:
    per_class = {counts["labels"][i]: value for i, value in _average_precisions(of_clips, truth).items()}
    mixed = [i for i, n in enumerate(truth.sum(axis=0)) if 0 < n < len(truth)]
    areas = [_measure(binary_auroc, of_clips[:, i], truth[:, i]) for i in mixed]
    auc = _mean(areas)
    present = truth[index]
    right = np.where(present, probabilities, 1 - probabilities)
    return MultiLabelEvaluation(
        **counts,
        log_loss=float(-np.log(np.maximum(right, 1e-12)).mean()),
        ece=calibration_error(probabilities.ravel(), present.ravel()),
        per_class=per_class,
        **_by_group(groups, lambda at: _mean(_average_precisions(of_clips[at], truth[at]).values())),
        mean_average_precision=_mean(per_class.values()),
        auc=auc,
        d_prime=float(math.sqrt(2) * ndtri(np.clip(auc, 1e-6, 1 - 1e-6))),  # finite where all is right
        occurrence={name: float(truth[:, counts["labels"].index(name)].mean()) for name in per_class},
    )


def _average_precisions(scores: Array, truth: npt.NDArray[np.bool_]) -> dict[int, float]:
    """Average precision of every label that occurs, by the label's position."""
    occurring = np.flatnonzero(truth.any(axis=0)).tolist()
    return {i: _measure(binary_average_precision, scores[:, i], truth[:, i]) for i in occurring}


def _measure(metric: Callable[..., Any], scores: Array, truth: npt.NDArray[np.bool_]) -> float:
    """A metric of torchmetrics, exact (without binned thresholds)."""
    values = torch.from_numpy(np.ascontiguousarray(scores, np.float64)), torch.from_numpy(truth.astype(int))
    return float(metric(*values, validate_args=False))


def _by_group(groups: Groups, score: Callable[[npt.NDArray[np.bool_]], float]) -> dict[str, Any]:
    """Score the clips of every group, for each kind of group; "" is no group."""
    found: dict[str, dict[str, float]] = {}
    for kind, names in groups.items():
        each = np.array(names)
        found[kind] = {str(name): score(each == name) for name in np.unique(each) if name}
    return found


def _mean(values: Sequence[float] | Any) -> float:
    """Mean, NaN of nothing."""
    each = list(values)
    return sum(each) / len(each) if each else math.nan


def clip_means(probabilities: Array, clip_of_window: Integers) -> tuple[Integers, Integers, Array]:
    """Average the probabilities of each clip's windows.

    Returns:
        The clips that have windows [clips], the position of each window's clip among them [windows], and
        the mean probabilities [clips, classes].
    """
    present, index, count = np.unique(clip_of_window, return_inverse=True, return_counts=True)
    sums = np.zeros((len(present), probabilities.shape[1]))
    np.add.at(sums, index, probabilities)
    return present, index, sums / count[:, None]


def calibration_error(confidence: Array, right: npt.NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error (Guo et al., ICML 2017): the mean gap between confidence and accuracy.

    Args:
        confidence: [predictions], of the likeliest label of a window; with several labels, of every label.
        right: [predictions], whether each of them is true.
        bins: of equal width in confidence.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))
