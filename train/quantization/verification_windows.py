"""The windows that INT8 is verified on, apart from those that its ranges are chosen on."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from train.checkpoints.model_pt import Checkpoint

_CHOOSING = 4  # one in so many clips chooses the observer: errors of logits show the best one on few
_APART = ", apart from those that chose the observer"
_NOT_APART = ", which chose the observer, too"


@dataclass(frozen=True)
class VerificationWindows:
    """Windows on which a file, or an INT8 model, is compared with its float reference.

    Attributes:
        log_mels: float32 [n, 1, n_mels, frames].
        targets: which labels each window has, bool [n, classes]; None where there are no labels.
        source: where they come from, for reports and for the provenance of the file.
        clips: the clip of each window; empty where that is not known.
    """

    log_mels: Tensor
    targets: Tensor | None
    source: str
    clips: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.log_mels)

    def divide(self) -> tuple[VerificationWindows, VerificationWindows]:
        """The windows that choose an observer, and those that the INT8 model is measured on.

        They share no clip, and every class has its share of both. Both are all windows where there is a
        single clip, and ``source`` says so.
        """
        clips: Sequence[Hashable] = self.clips or range(len(self))
        classes = [0] * len(self) if self.targets is None else self.targets.float().argmax(1).tolist()
        class_of = dict(zip(reversed(clips), reversed(classes), strict=True))  # that of its first window
        in_order = sorted(dict.fromkeys(clips), key=class_of.__getitem__)  # classes may come in turns
        choosing = set(in_order[::_CHOOSING])
        chooses = torch.tensor([clip in choosing for clip in clips], dtype=torch.bool)
        if chooses.all():
            return self, replace(self, source=self.source + _NOT_APART)
        return self._part(chooses, ""), self._part(~chooses, _APART)

    def _part(self, chosen: Tensor, which: str) -> VerificationWindows:
        return VerificationWindows(
            self.log_mels[chosen],
            None if self.targets is None else self.targets[chosen],
            self.source + which,
            tuple(clip for clip, taken in zip(self.clips, chosen, strict=False) if taken),
        )


def split_windows(checkpoint: Checkpoint) -> tuple[Checkpoint, VerificationWindows]:
    """The checkpoint with the windows to calibrate with, and the windows to verify on; they share no clip.

    A model.pt carries both sets. Where it has calibration windows only, as in a file of an older release,
    those of every second clip are held out from calibration.
    """
    if len(checkpoint.verification):
        labels = checkpoint.verification_targets
        targets = labels.bool() if len(labels) else None
        found = checkpoint.verification.float()
        clips = clips_of(checkpoint.verification_ids, len(found))
        return checkpoint, VerificationWindows(found, targets, "verification windows of the model.pt", clips)
    if not len(checkpoint.calibration):
        none = torch.empty(0, *checkpoint.input_shape[1:])
        return checkpoint, VerificationWindows(none, None, "no windows")
    clips = clips_of(checkpoint.calibration_ids, len(checkpoint.calibration))
    held_out = _of_every_second_clip(clips or range(len(checkpoint.calibration)))
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
    apart = tuple(clip for clip, held in zip(clips, held_out, strict=False) if held)
    return rest, VerificationWindows(log_mels, targets, "windows held out from calibration", apart)


def clips_of(identifiers: Sequence[str], count: int) -> tuple[str, ...]:
    """The clip of each window by "clip@first sample"; empty where not each of ``count`` windows has one."""
    clips = tuple(identifier.rpartition("@")[0] or identifier for identifier in identifiers)
    return clips if len(clips) == count else ()


def _of_every_second_clip(clips: Sequence[Hashable]) -> Tensor:
    """Which windows are of every second clip, bool [n]; a model.pt lists calibration class by class."""
    number = {clip: index for index, clip in enumerate(dict.fromkeys(clips))}
    return torch.tensor([number[clip] % 2 == 1 for clip in clips], dtype=torch.bool)
