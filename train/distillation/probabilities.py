"""Probabilities given where logits are expected: how to recognise and to convert them."""

from __future__ import annotations

import torch
from torch import Tensor

from runtime.spec import Task

_SUM_TOLERANCE = 5e-3  # of a row of probabilities that were rounded to float16
_SMALLEST = 1e-7  # the probability that takes the place of 0, whose logarithm is infinite


def looks_like_probabilities(values: Tensor, task: Task) -> bool:
    """Whether [rows, classes] can be probabilities: no logits of a real model look like this.

    With one label a clip every row is >= 0 and sums to 1; with several labels all values lie in [0, 1].
    """
    if not len(values) or (values < 0).any():
        return False
    if task == "multi_label":
        return bool((values <= 1).all())
    return bool(((values.sum(dim=1) - 1).abs() <= _SUM_TOLERANCE).all())


def to_logits(probabilities: Tensor, task: Task) -> Tensor:
    """Logits with these probabilities: the logarithm of a softmax, or the inverse of a sigmoid."""
    if task == "multi_label":
        return torch.logit(probabilities.clamp(_SMALLEST, 1 - _SMALLEST))
    return probabilities.clamp_min(_SMALLEST).log()
