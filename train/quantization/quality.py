"""The quality of an INT8 model, measured on windows that nothing was calibrated on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from train.checkpoints.model_pt import Checkpoint
from train.quantization.hostile_signals import hostile_inputs
from train.quantization.label_agreement import HostileReport, hostile_report, same_labels
from train.quantization.ptq import CALIBRATION_BATCH
from train.quantization.sensitivity import sqnr_db

_Z = 1.959964  # of a 95 % interval


@dataclass(frozen=True)
class Share:
    """A share of labels.

    Attributes:
        count: those that are counted.
        total: all of them.
    """

    count: int
    total: int

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval (Wilson, "Probable inference", JASA 1927)."""
        n, p = self.total, self.value
        centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        return max(0.0, centre - half), min(1.0, centre + half)

    def __str__(self) -> str:
        """In per cent, with interval and count."""
        low, high = self.interval
        return f"{self.value:.1%} ({low:.1%} to {high:.1%}, {self.count} of {self.total})"


@dataclass(frozen=True)
class VerificationSet:
    """Windows that INT8 is judged on.

    Attributes:
        windows: log-mels [n, 1, n_mels, frames].
        targets: [n, classes], 1 for each label; None where nobody labelled them.
        calibration: the windows that ranges are chosen on; none is among ``windows``.
        source: what they are, in words.
    """

    windows: Tensor
    targets: Tensor | None
    calibration: Tensor
    source: str


@dataclass(frozen=True)
class Quality:
    """What INT8 does to the float reference on a verification set.

    Attributes:
        agreement: labels that are those of the float reference.
        accuracy_float: correct labels of the float reference; None where nobody labelled the windows.
        accuracy_int8: of INT8.
        sqnr_db: signal to quantization noise ratio of the logits, dB.
        source: what the windows are, in words.
        hostile: a report on signals that nobody trained on.
    """

    agreement: Share
    accuracy_float: Share | None
    accuracy_int8: Share | None
    sqnr_db: float
    source: str
    hostile: HostileReport

    @property
    def loss(self) -> float:
        """What a tolerance limits: lost accuracy, or flipped labels where nobody labelled the windows."""
        if self.accuracy_float is None or self.accuracy_int8 is None:
            return 1 - self.agreement.value
        return max(0.0, self.accuracy_float.value - self.accuracy_int8.value)


def verification_set(checkpoint: Checkpoint) -> VerificationSet:
    """The windows of a checkpoint that INT8 is judged on, and those it is calibrated on.

    A file of an older release has calibration windows only: every second one of each class is held out.
    """
    if len(checkpoint.verification):
        targets = checkpoint.verification_targets if len(checkpoint.verification_targets) else None
        source = f"{len(checkpoint.verification)} verification windows"
        return VerificationSet(checkpoint.verification, targets, checkpoint.calibration, source)
    odd = torch.arange(len(checkpoint.calibration)) % 2 == 1
    windows, labels = checkpoint.calibration[odd], checkpoint.calibration_targets[odd]
    targets = nn.functional.one_hot(labels, len(checkpoint.labels)) if _all_labelled(labels) else None
    source = f"{len(windows)} training windows held out from calibration"
    return VerificationSet(windows, targets, checkpoint.calibration[~odd], source)


def _all_labelled(labels: Tensor) -> bool:
    return bool(len(labels)) and int(labels.min()) >= 0


def quality_of(int8_model: nn.Module, checkpoint: Checkpoint) -> Quality:
    """Measure an INT8 model against the float reference of a checkpoint."""
    verification, reference = verification_set(checkpoint), checkpoint.build()
    expected, actual = (logits_of(network, verification.windows) for network in (reference, int8_model))
    hostile = torch.from_numpy(hostile_inputs(checkpoint.frontend, checkpoint.clip_samples))
    return Quality(
        agreement=agreement_of(expected, actual, checkpoint),
        accuracy_float=accuracy_of(expected, verification.targets, checkpoint),
        accuracy_int8=accuracy_of(actual, verification.targets, checkpoint),
        sqnr_db=sqnr_db(expected, actual),
        source=verification.source,
        hostile=hostile_report(logits_of(reference, hostile), logits_of(int8_model, hostile), checkpoint),
    )


def agreement_of(expected: Tensor, actual: Tensor, checkpoint: Checkpoint) -> Share:
    """Labels that are those of the float reference, from logits [n, classes] of both."""
    return _share(same_labels(expected, actual, checkpoint))


def accuracy_of(logits: Tensor, targets: Tensor | None, checkpoint: Checkpoint) -> Share | None:
    """Correct labels; with several labels a clip, each label is there or not."""
    if targets is None:
        return None
    if checkpoint.task == "multi_label":
        return _share((logits > 0) == (targets > 0))
    return _share(targets.gather(1, logits.argmax(1, keepdim=True)) > 0)


def logits_of(network: nn.Module, windows: Tensor) -> Tensor:
    """Logits [n, classes] of log-mels [n, 1, n_mels, frames]."""
    with torch.no_grad():
        return torch.cat([network(batch.float()) for batch in torch.split(windows, CALIBRATION_BATCH)])


def _share(marks: Tensor) -> Share:
    return Share(int(marks.sum()), marks.numel())
