"""Augmentation of the front end and of log-mels [batch, 1, mels, frames]."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec
from train.augmentation.random_draws import beta, uniform
from train.augmentation.views import blend


def jitter_bands(spec: FrontEndSpec, max_hz: float, generator: torch.Generator) -> FrontEndSpec:
    """A spec with each edge of its filter bank moved by up to ``max_hz``, within 0 and Nyquist.

    As CP-JKU and PaSST train (Koutini et al., "Efficient training of audio transformers with patchout",
    2022). The lower edge is taken up only, where it is 0.
    """
    low, high = ((2 * uniform(2, generator) - 1) * max_hz).tolist()
    f_min = abs(spec.f_min + low)
    return dataclasses.replace(spec, f_min=f_min, f_max=min(spec.f_max + high, spec.sample_rate / 2))


def mask(x: Tensor, axis: int, width: int, value: float, generator: torch.Generator) -> Tensor:
    """Fill a random stretch of fewer than ``width`` places along ``axis``, another in each example.

    Raises:
        ConfigError: where the axis is shorter than the width.
    """
    size = x.shape[axis]
    if not 1 <= width <= size:
        raise ConfigError(f"A mask of {width} does not fit {size} mels or frames: make it narrower.")
    widths = (uniform(len(x), generator) * width).long()
    starts = (uniform(len(x), generator) * (size - widths + 1)).long()
    places = torch.arange(size)
    hidden = (places >= starts[:, None]) & (places < (starts + widths)[:, None])  # [batch, size]
    shape = [len(x) if i == 0 else size if i == axis else 1 for i in range(x.dim())]
    return x.masked_fill(hidden.reshape(shape).to(x.device), value)


def freq_mixstyle(log_mel: Tensor, alpha: float, generator: torch.Generator) -> Tensor:
    """Mix the mean and deviation of every mel band with another example's: devices change, scenes stay.

    Kim et al., "Domain generalization on efficient acoustic scene classification using residual
    normalization", 2021; Schmid et al., DCASE 2022. Shape [batch, 1, mels, frames].
    """
    mean = log_mel.mean(dim=(1, 3), keepdim=True)
    std = (log_mel.var(dim=(1, 3), keepdim=True) + 1e-6).sqrt()
    partner = torch.randperm(len(log_mel), generator=generator).to(log_mel.device)
    weight = beta(len(log_mel), alpha, generator).to(log_mel)
    return (log_mel - mean) / std * blend(std, std[partner], weight) + blend(mean, mean[partner], weight)
