"""What a model.pt carries for later: windows to calibrate INT8 with, and a temperature for its confidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar

from train.data.module import ClipWindows
from train.frontend import LogMel

COUNT = 128  # 4 MB of float16 log-mels with 256 bands; observers settle long before


def calibration_windows(dataset: ClipWindows, log_mel: LogMel, count: int = COUNT) -> dict[str, Any]:
    """Choose windows evenly over the labels that are told and compute their log-mels.

    Returns:
        The three ``calibration*`` fields of `train.checkpoint.Checkpoint`.
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


def fit_temperature(probabilities: npt.NDArray[Any], target: npt.NDArray[Any]) -> float:
    """The temperature that makes held-out answers as confident as they are right.

    Guo et al., "On calibration of modern neural networks", ICML 2017: least log loss over one number.

    Args:
        probabilities: softmax at temperature 1, [windows, classes], of windows not trained on.
        target: [windows].
    """
    log_p = np.log(np.maximum(probabilities, 1e-12))  # logits up to a constant per window
    rows = np.arange(len(target))

    def log_loss(log_temperature: float) -> float:
        scaled = log_p / np.exp(log_temperature)
        return float((np.logaddexp.reduce(scaled, axis=1) - scaled[rows, target]).mean())

    bounds = (np.log(0.1), np.log(10.0))
    return round(float(np.exp(minimize_scalar(log_loss, bounds=bounds, method="bounded").x)), 4)
