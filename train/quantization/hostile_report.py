"""Labels of INT8 against those of the float reference on hostile signals."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from train.checkpoints.model_pt import Checkpoint
from train.distillation.losses import soften
from train.quantization.hostile_signals import audible
from train.quantization.quality import decide

_CONFIDENT = 0.9  # probability from which a flipped label counts


@dataclass(frozen=True)
class HostileReport:
    """Hostile signals whose label flips; nobody trained on them, so they are reported and decide nothing.

    Attributes:
        gained: names of those for which INT8 is confident of a label that the float reference does not give.
        lost: of those for which the float reference is confident of a label that INT8 does not give.
    """

    gained: tuple[str, ...]
    lost: tuple[str, ...]


def hostile_report(expected: Tensor, actual: Tensor, checkpoint: Checkpoint) -> HostileReport:
    """Hostile signals whose label flips, those left out that the runtime gives no label to.

    Args:
        expected: logits [signals, classes] of the float reference, in the order of `hostile_signals.py`.
        actual: of INT8.
        checkpoint: gives temperature, task, sample rate and length.
    """
    flipped = decide(expected, checkpoint.task) != decide(actual, checkpoint.task)
    rate, samples = checkpoint.frontend.sample_rate, checkpoint.clip_samples

    def names(logits: Tensor) -> tuple[str, ...]:
        marks = (flipped & _confident(logits, checkpoint)).any(dim=1)
        return tuple(audible(marks.tolist(), rate, samples))

    return HostileReport(gained=names(actual), lost=names(expected))


def _confident(logits: Tensor, checkpoint: Checkpoint) -> Tensor:
    """Which labels a network is confident of: bool [n, 1], with several labels a clip [n, classes]."""
    probabilities = soften(logits, checkpoint.temperature, checkpoint.task)
    if checkpoint.task == "multi_label":
        return torch.maximum(probabilities, 1 - probabilities) >= _CONFIDENT
    return probabilities.amax(dim=1, keepdim=True) >= _CONFIDENT
