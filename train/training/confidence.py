"""Confidence: temperature and thresholds, fitted on held-out windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax

from runtime.spec import Task

PRECISION = 0.9  # share of the held-out windows above a class's threshold that are of that class
MIN_WINDOWS = 20  # held-out windows of a class; with fewer it gets no threshold
# Without the lower limit, a class that no held-out window is mistaken for would be reported at any
# probability, although other sounds exist; without the upper one, a class that never reaches the precision
# never would be.
LOWEST, HIGHEST = 0.3, 0.95


def fit_temperature(
    probabilities: npt.NDArray[Any], targets: npt.NDArray[Any], task: Task = "single_label"
) -> float:
    """The temperature with the least log loss on held-out windows.

    Guo et al., "On calibration of modern neural networks", ICML 2017.

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


def at_temperature(
    probabilities: npt.NDArray[Any], temperature: float, task: Task = "single_label"
) -> npt.NDArray[np.float64]:
    """Probabilities at a temperature, from those at 1.

    Args:
        probabilities: at temperature 1, [windows, classes]; rows of NaN stay so.
        temperature: that logits are divided by.
        task: softmax or sigmoid.
    """
    scaled = _logits(probabilities, task) / temperature
    return np.asarray(expit(scaled) if task == "multi_label" else softmax(scaled, axis=1))


def fit_thresholds(
    probabilities: npt.NDArray[Any], targets: npt.NDArray[Any], labels: Sequence[str]
) -> dict[str, float]:
    """For each class, the smallest probability at which the precision on held-out windows is `PRECISION`.

    The precision holds for the class frequencies of those windows, and for single windows, while the runtime
    compares smoothed scores with it. Events end below a part of it (`EventRules.exit_ratio`).

    Args:
        probabilities: at the fitted temperature, [windows, classes], of windows not trained on.
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


def _threshold(probability: npt.NDArray[Any], correct: npt.NDArray[np.bool_]) -> float:
    """The smallest probability with `PRECISION` of the windows above it of the class; infinite if none is."""
    order = np.argsort(-probability, kind="stable")
    ranked = probability[order]
    precision = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    last_of_equals = np.append(ranked[1:] != ranked[:-1], True)
    reached = ranked[(precision >= PRECISION) & last_of_equals]
    return float(reached[-1]) if len(reached) else np.inf


def fit_confidence(
    probabilities: npt.NDArray[Any],
    targets: npt.NDArray[Any],
    labels: Sequence[str],
    task: Task = "single_label",
) -> dict[str, Any]:
    """Fit temperature and thresholds on held-out windows.

    Args:
        probabilities: at temperature 1, [windows, classes], of windows not trained on.
        targets: [windows, classes], 1 for each label of a window and 0 for the others.
        labels: [classes].
        task: softmax or sigmoid.

    Returns:
        The fields ``temperature`` and ``thresholds`` of `train.checkpoints.model_pt.Checkpoint`.
    """
    temperature = fit_temperature(probabilities, targets, task)
    fitted = at_temperature(probabilities, temperature, task)
    return {"temperature": temperature, "thresholds": fit_thresholds(fitted, targets, labels)}
