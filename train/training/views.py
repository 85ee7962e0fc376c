"""A view: what a network is shown of a batch after augmentation and MixUp."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from train.training.random_draws import beta


class Mixing(NamedTuple):
    """MixUp: every example of a batch mixed with another one (Zhang et al., ICLR 2018).

    Inputs, labels and teacher probabilities (SoftMixUp) are mixed with the same partners and weights.

    Attributes:
        partner: int64 [batch], position of the other example.
        weight: float32 [batch], the example's own share; at least a half.
    """

    partner: Tensor
    weight: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """[batch, ...] -> the same shape."""
        return blend(x, x[self.partner.to(x.device)], self.weight.to(x))


class View(NamedTuple):
    """What a network is shown of a batch.

    Attributes:
        waveform: [batch, samples], augmented, not mixed.
        log_mel: [batch, 1, mels, frames], augmented and mixed.
        mixing: partners and weights of MixUp; None without MixUp.
    """

    waveform: Tensor
    log_mel: Tensor
    mixing: Mixing | None

    def mixed(self, x: Tensor) -> Tensor:
        """Apply the view's MixUp to labels or teacher probabilities, [batch, ...]."""
        return x if self.mixing is None else self.mixing(x)


def draw_mixing(count: int, alpha: float, generator: torch.Generator) -> Mixing:
    """Draw a partner for each of ``count`` examples, and its weight from Beta(alpha, alpha)."""
    partner = torch.randperm(count, generator=generator)
    return Mixing(partner, beta(count, alpha, generator))


def blend(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Weight * a + (1 - weight) * b for each example: [batch, ...] and weights [batch]."""
    weight = weight.reshape(-1, *[1] * (a.dim() - 1))
    return weight * a + (1 - weight) * b
