"""Windows on which an exported file is compared with its float reference."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from train.checkpoints.model_pt import Checkpoint


@dataclass(frozen=True)
class VerificationWindows:
    """Log-mels with their labels, where these are known.

    Attributes:
        log_mels: float32 [n, 1, n_mels, frames].
        targets: which labels each window has, bool [n, classes]; None where there are no labels.
        source: where they come from, for reports and for the provenance of the file.
    """

    log_mels: Tensor
    targets: Tensor | None
    source: str

    def __len__(self) -> int:
        return len(self.log_mels)


def windows_of(checkpoint: Checkpoint) -> VerificationWindows:
    """The windows that a model.pt carries: verification windows, or calibration windows where it has none."""
    log_mels = checkpoint.calibration.float().reshape(-1, *checkpoint.input_shape[1:])
    return VerificationWindows(
        log_mels, _one_hot(checkpoint), "calibration windows: the model.pt has no verification windows"
    )


def _one_hot(checkpoint: Checkpoint) -> Tensor | None:
    """Labels of the calibration windows; None where one is unlabelled or may have several labels."""
    targets = checkpoint.calibration_targets
    labelled = len(targets) and len(targets) == len(checkpoint.calibration) and int(targets.min()) >= 0
    if not labelled or checkpoint.task == "multi_label":
        return None
    return torch.nn.functional.one_hot(targets, len(checkpoint.labels)).bool()
