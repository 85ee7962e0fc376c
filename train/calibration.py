"""Training windows kept in model.pt, so that post-training quantization needs nothing but that file."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from train.data.module import ClipWindows
from train.frontend import LogMel

COUNT = 128  # 4 MB of float16 log-mels with 256 bands; observers settle long before


def calibration_windows(
    dataset: ClipWindows, log_mel: LogMel, n_classes: int, count: int = COUNT
) -> dict[str, Any]:
    """Choose windows evenly over the classes and compute their log-mels.

    Returns:
        The three ``calibration*`` fields of `train.checkpoint.Checkpoint`.
    """
    targets = np.array([dataset.clips[window.clip].target for window in dataset.windows])
    order = np.random.default_rng(dataset.seed).permutation(len(targets))
    share = -(-count // n_classes)
    chosen = np.concatenate([order[targets[order] == target][:share] for target in range(n_classes)])[:count]
    batch = dataset.at_rest(chosen.tolist())
    device = log_mel.window.device
    with torch.inference_mode():
        features = log_mel(batch.waveform.to(device)).half().cpu()
    windows = [dataset.windows[index] for index in chosen]
    return {
        "calibration": features.clone(),
        "calibration_targets": batch.target,
        "calibration_ids": tuple(f"{dataset.clips[w.clip].id}@{w.start}" for w in windows),
    }
