"""Windows on which an exported file is compared with its float reference."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from train.checkpoints.model_pt import Checkpoint
from train.quantization.quality import verification_set


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
    """The windows that a model.pt carries and that INT8 was not calibrated on."""
    found = verification_set(checkpoint)
    log_mels = found.windows.float().reshape(-1, *checkpoint.input_shape[1:])
    targets = None if found.targets is None or not len(found.targets) else found.targets.bool()
    return VerificationWindows(log_mels, targets, found.source)
