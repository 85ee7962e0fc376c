"""What INT8 may do to the labels of a float network: one rule, to choose by and to verify by."""

from __future__ import annotations

import torch
from torch import Tensor

from train.checkpoints.model_pt import Checkpoint
from train.distillation.losses import soften
from train.quantization.hostile_signals import audible

# Of the hostile signals: for so many INT8 may be sure of a label that float does not give. They lie where
# nobody trained, and float guesses there, too; a graph that is broken goes wrong on most.
MAY_DIFFER = 2

_SURE = 0.9  # probability from which a network is held to its label


def label_loss(wanted: Tensor, got: Tensor, checkpoint: Checkpoint) -> float:
    """What INT8 takes from the labels of the float network: the greater of two shares.

    One is the share of labels that it changes. But calibration windows come from training, where labels
    stand so firm that weights of four bits change one in a hundred. The probability of these labels gives
    way earlier, by 2 % there, so the other share is what their mean probability falls by.

    Args:
        wanted: logits [n, classes] of the float network.
        got: of INT8.
        checkpoint: gives temperature and task.
    """
    before, after = (logits.double() / checkpoint.temperature for logits in (wanted, got))
    if checkpoint.task == "multi_label":  # every label is there or not, a choice of its own
        present = before > 0
        before, after = (torch.where(present, x, -x).sigmoid() for x in (before, after))
    else:
        labels = before.argmax(1, keepdim=True)
        before, after = (x.softmax(1).gather(1, labels) for x in (before, after))
    changed = ~kept_labels(wanted, got, checkpoint)
    return max(float(changed.double().mean()), float((before - after).mean()))


def kept_labels(wanted: Tensor, got: Tensor, checkpoint: Checkpoint) -> Tensor:
    """Which labels are the float network's: bool [n, 1], of several labels a clip [n, classes]."""
    if checkpoint.task == "multi_label":
        return (wanted > 0) == (got > 0)
    return (wanted.argmax(1) == got.argmax(1))[:, None]


def surely_changed(wanted: Tensor, got: Tensor, checkpoint: Checkpoint) -> Tensor:
    """Where INT8 changes a label that the float network is sure of: bool [n].

    For hostile signals, which lie outside of what the ranges were chosen for. A float network may be sure of
    nonsense there, so this is what to avoid where one can, and `surely_wrong` what must not happen.
    """
    return (~kept_labels(wanted, got, checkpoint) & _sure(wanted, checkpoint)).any(dim=1)


def surely_wrong(wanted: Tensor, got: Tensor, checkpoint: Checkpoint) -> Tensor:
    """Where INT8 is sure of a label that the float network does not give: bool [n]."""
    return (~kept_labels(wanted, got, checkpoint) & _sure(got, checkpoint)).any(dim=1)


def heard_otherwise(wanted: Tensor, got: Tensor, checkpoint: Checkpoint) -> tuple[list[str], list[str]]:
    """Names of the hostile signals that are `surely_wrong`, and of those that are `surely_changed`.

    Args:
        wanted: logits [signals, classes] of the float network, in the order of `hostile_signals.py`.
        got: of INT8.
        checkpoint: gives temperature, task, sample rate and length.
    """
    rate, samples = checkpoint.frontend.sample_rate, checkpoint.clip_samples
    wrong, changed = (rule(wanted, got, checkpoint).tolist() for rule in (surely_wrong, surely_changed))
    return audible(wrong, rate, samples), audible(changed, rate, samples)


def _sure(logits: Tensor, checkpoint: Checkpoint) -> Tensor:
    """Which labels a network is sure of: bool [n, 1], of several labels a clip [n, classes]."""
    probabilities = soften(logits, checkpoint.temperature, checkpoint.task)
    if checkpoint.task == "multi_label":
        return torch.maximum(probabilities, 1 - probabilities) >= _SURE
    return probabilities.amax(dim=1, keepdim=True) >= _SURE
