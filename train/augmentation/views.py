"""A view: what a network is shown of a batch after augmentation and MixUp."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from train.augmentation.random_draws import beta


class Mixing(NamedTuple):
    """Every example of a batch mixed with another one.

    MixUp (Zhang et al., ICLR 2018) mixes inputs, labels and teacher probabilities (SoftMixUp) with the same
    partners and weights. A scene mixes waveforms, and labels by the shares of amplitude.

    Attributes:
        partner: int64 [batch], position of the other example.
        weight: float32 [batch], the example's own share.
    """

    partner: Tensor
    weight: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """[batch, ...] -> the same shape."""
        return blend(x, x[self.partner.to(x.device)], self.weight.to(x))


class View(NamedTuple):
    """What a network is shown of a batch.

    Attributes:
        waveform: [batch, samples], augmented; a mixture where the scene is one, without MixUp.
        log_mel: [batch, 1, mels, frames] of it, augmented, with MixUp.
        mixing: of the labels, by the scene or by MixUp; None without either.
        mixup: of the log-mels; None without MixUp.
        scene: [batch, samples] before capture; None where the augmentation does not tell the two apart.
    """

    waveform: Tensor
    log_mel: Tensor
    mixing: Mixing | None = None
    mixup: Mixing | None = None
    scene: Tensor | None = None

    def mixed(self, x: Tensor) -> Tensor:
        """Mix labels, or probabilities for single examples, [batch, ...], as the examples were mixed."""
        return x if self.mixing is None else self.mixing(x)


def draw_mixing(count: int, alpha: float, generator: torch.Generator) -> Mixing:
    """Draw a partner for each of ``count`` examples, and its weight from Beta(alpha, alpha)."""
    partner = torch.randperm(count, generator=generator)
    return Mixing(partner, beta(count, alpha, generator))


def blend(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Weight * a + (1 - weight) * b for each example: [batch, ...] and weights [batch]."""
    weight = weight.reshape(-1, *[1] * (a.dim() - 1))
    return weight * a + (1 - weight) * b
