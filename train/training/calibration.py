"""What a model.pt carries for later: windows to calibrate INT8 with, and how far to trust its confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax

from runtime.spec import Task
from train.data.windows import ClipWindows
from train.log_mel import LogMel

COUNT = 128  # 4 MB of float16 log-mels with 256 bands; observers settle long before
PRECISION = 0.9  # of the held-out windows above a class's threshold, so many are of that class
MIN_WINDOWS = 20  # of a class that is held out; fewer say nothing, and the runtime's default counts
# A class that nothing held out is taken for would be believed at once, but the world holds more sounds; one
# that never gets to the precision would never be.
LOWEST, HIGHEST = 0.3, 0.95


def calibration_windows(dataset: ClipWindows, log_mel: LogMel, count: int = COUNT) -> dict[str, Any]:
    """Choose windows evenly over the labels that are told and compute their log-mels.

    Returns:
        The three ``calibration*`` fields of `train.checkpoints.model_pt.Checkpoint`.
    """
    of_clip = np.where(dataset.targets.any(axis=1), dataset.targets.argmax(axis=1), -1)  # -1: no label told
    targets = of_clip[[window.clip for window in dataset.windows]]
    order = np.random.default_rng(dataset.seed).permutation(len(targets))
    kinds = np.unique(targets)
    share = -(-count // len(kinds))
    chosen = np.concatenate([order[targets[order] == kind][:share] for kind in kinds])[:count]
    batch = dataset.at_rest(chosen.tolist())
    device = log_mel.window.device
    with torch.inference_mode():
        features = log_mel(batch.waveform.to(device)).half().cpu()
    windows = [dataset.windows[index] for index in chosen]
    return {
        "calibration": features.clone(),
        "calibration_targets": torch.from_numpy(targets[chosen]),
        "calibration_ids": tuple(f"{dataset.clips[w.clip].id}@{w.start}" for w in windows),
    }


def fit_temperature(
    probabilities: npt.NDArray[Any], targets: npt.NDArray[Any], task: Task = "single_label"
) -> float:
    """The temperature that makes held-out answers as confident as they are right.

    Guo et al., "On calibration of modern neural networks", ICML 2017: least log loss over one number.

    Args:
        probabilities: at temperature 1, [windows, classes], of windows not trained on.
        targets: [windows, classes], 1 for each label of a window and 0 for the others.
        task: softmax or sigmoid.
    """
    logits = _logits(probabilities, task)

    def log_loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        if task == "multi_label":
            return float((np.logaddexp(0, scaled) - targets * scaled).mean())
        return float((np.logaddexp.reduce(scaled, axis=1) - (targets * scaled).sum(axis=1)).mean())

    bounds = (np.log(0.1), np.log(10.0))
    return round(float(np.exp(minimize_scalar(log_loss, bounds=bounds, method="bounded").x)), 4)


def _logits(probabilities: npt.NDArray[Any], task: Task) -> npt.NDArray[np.float64]:
    """Logits that give these probabilities; of a softmax up to a constant per window."""
    p = np.clip(probabilities.astype(np.float64), 1e-12, None)
    return np.log(p) - np.log(np.maximum(1 - p, 1e-12)) if task == "multi_label" else np.log(p)


def fit_thresholds(
    probabilities: npt.NDArray[Any], targets: npt.NDArray[Any], labels: Sequence[str]
) -> dict[str, float]:
    """For each class, the smallest probability at which the precision on held-out windows is `PRECISION`.

    That is at the frequencies of the held-out classes, and for single windows, where the runtime holds its
    smoothed scores against it. Events end below a part of it (`EventRules.exit_ratio`).

    Args:
        probabilities: calibrated, [windows, classes], of windows not trained on.
        targets: [windows, classes], 1 for each label of a window and 0 for the others.
        labels: [classes].

    Returns:
        Label to threshold, from `LOWEST` to `HIGHEST`; none for classes of fewer than `MIN_WINDOWS` windows.
    """
    return {
        label: round(float(np.clip(_threshold(probabilities[:, index], present), LOWEST, HIGHEST)), 4)
        for index, (label, present) in enumerate(zip(labels, targets.T > 0, strict=True))
        if present.sum() >= MIN_WINDOWS
    }


def _threshold(probability: npt.NDArray[Any], right: npt.NDArray[np.bool_]) -> float:
    """The smallest probability from which up `PRECISION` of the windows are right; infinite without one."""
    order = np.argsort(-probability, kind="stable")
    ranked = probability[order]
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last_of_equals = np.append(ranked[1:] != ranked[:-1], True)
    reached = ranked[(precision >= PRECISION) & last_of_equals]
    return float(reached[-1]) if len(reached) else np.inf


def calibrate(
    probabilities: npt.NDArray[Any],
    targets: npt.NDArray[Any],
    labels: Sequence[str],
    task: Task = "single_label",
) -> dict[str, Any]:
    """What held-out windows tell about confidence.

    Args:
        probabilities: at temperature 1, [windows, classes], of windows not trained on.
        targets: [windows, classes], 1 for each label of a window and 0 for the others.
        labels: [classes].
        task: softmax or sigmoid.

    Returns:
        The fields ``temperature`` and ``thresholds`` of `train.checkpoints.model_pt.Checkpoint`.
    """
    temperature = fit_temperature(probabilities, targets, task)
    scaled = _logits(probabilities, task) / temperature
    calibrated = expit(scaled) if task == "multi_label" else softmax(scaled, axis=1)
    return {"temperature": temperature, "thresholds": fit_thresholds(calibrated, targets, labels)}
