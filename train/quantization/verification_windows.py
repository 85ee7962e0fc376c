"""The windows that INT8 is verified on, apart from those that its ranges are chosen on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from train.checkpoints.model_pt import Checkpoint


@dataclass(frozen=True)
class VerificationWindows:
    """Windows on which a file, or an INT8 model, is compared with its float reference.

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


def split_windows(checkpoint: Checkpoint) -> tuple[Checkpoint, VerificationWindows]:
    """The checkpoint with the windows to calibrate with, and the windows to verify on; they share no clip.

    A model.pt carries both sets. Where it has calibration windows only, as in a file of an older release,
    those of every second clip are held out from calibration.
    """
    if len(checkpoint.verification):
        labels = checkpoint.verification_targets
        targets = labels.bool() if len(labels) else None
        found = checkpoint.verification.float()
        return checkpoint, VerificationWindows(found, targets, "verification windows of the model.pt")
    if not len(checkpoint.calibration):
        none = torch.empty(0, *checkpoint.input_shape[1:])
        return checkpoint, VerificationWindows(none, None, "no windows")
    held_out = _of_every_second_clip(checkpoint)
    keep, labels = ~held_out, checkpoint.calibration_targets[held_out]
    labelled = len(labels) > 0 and int(labels.min()) >= 0  # -1 is no label
    targets = nn.functional.one_hot(labels, len(checkpoint.labels)).bool() if labelled else None
    log_mels = checkpoint.calibration[held_out].float()
    rest = replace(
        checkpoint,
        calibration=checkpoint.calibration[keep],
        calibration_targets=checkpoint.calibration_targets[keep],
        calibration_ids=tuple(
            i for i, retained in zip(checkpoint.calibration_ids, keep, strict=False) if retained
        ),
    )
    return rest, VerificationWindows(log_mels, targets, "windows held out from calibration")


def _of_every_second_clip(checkpoint: Checkpoint) -> Tensor:
    """Which calibration windows are of every second clip, bool [n]; the file lists them class by class."""
    count = len(checkpoint.calibration)
    # "clip@first sample"; a file without ids may hold several windows of a clip
    clips = [identifier.rpartition("@")[0] or identifier for identifier in checkpoint.calibration_ids]
    order = {clip: index for index, clip in enumerate(dict.fromkeys(clips))}
    numbers = [order[clip] for clip in clips] if len(clips) == count else range(count)
    return torch.tensor([number % 2 == 1 for number in numbers], dtype=torch.bool)
