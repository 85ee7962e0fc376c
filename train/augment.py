"""Augmentation of batches on the device where the model runs; the same seed gives the same view.

Every function takes the generator that its random numbers come from. None of them is on in evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def generator_for(*key: int) -> torch.Generator:
    """A CPU generator that depends on nothing but the key, e.g. (seed, epoch, batch)."""
    return torch.Generator().manual_seed(
        int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)
    )


@dataclass(frozen=True)
class Augmentation:
    """Which augmentations are on; null switches one off.

    Attributes:
        gain_db: random gain of the waveform, uniform in +- this many dB.
        roll_s: waveform rolled in time by up to this many seconds.
        freq_mixstyle_p: share of batches with Freq-MixStyle.
        freq_mixstyle_alpha: its Beta distribution.
        mixup_alpha: Beta distribution of MixUp.
    """

    gain_db: float | None = 6.0
    roll_s: float | None = None
    freq_mixstyle_p: float | None = 0.4
    freq_mixstyle_alpha: float = 0.3
    mixup_alpha: float | None = 0.3

    def waveform(self, waveform: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
        """[batch, samples] -> the same shape."""
        if self.gain_db is not None:
            waveform = random_gain(waveform, self.gain_db, generator)
        if self.roll_s is not None:
            waveform = random_roll(waveform, round(self.roll_s * sample_rate), generator)
        return waveform

    def spectrum(self, log_mel: Tensor, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Log-mel [batch, 1, mels, frames] and target probabilities [batch, classes] -> the same shapes."""
        if self.freq_mixstyle_p is not None and _uniform(1, generator).item() < self.freq_mixstyle_p:
            log_mel = freq_mixstyle(log_mel, self.freq_mixstyle_alpha, generator)
        if self.mixup_alpha is not None:
            log_mel, target = mixup(log_mel, target, self.mixup_alpha, generator)
        return log_mel, target


def random_gain(waveform: Tensor, max_db: float, generator: torch.Generator) -> Tensor:
    """Scale each waveform by a gain uniform in dB within +- ``max_db``: [batch, samples]."""
    gain_db = (2 * _uniform(len(waveform), generator) - 1) * max_db
    return waveform * (10 ** (gain_db / 20)).to(waveform).unsqueeze(1)


def random_roll(waveform: Tensor, max_samples: int, generator: torch.Generator) -> Tensor:
    """Roll each waveform in time by up to ``max_samples`` either way: [batch, samples]."""
    shifts = torch.randint(-max_samples, max_samples + 1, (len(waveform), 1), generator=generator)
    places = torch.arange(waveform.shape[1]) - shifts
    return waveform.gather(1, places.remainder(waveform.shape[1]).to(waveform.device))


def mixup(x: Tensor, target: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mix every example with another one and its target with the other's (Zhang et al., ICLR 2018).

    Args:
        x: [batch, ...].
        target: probabilities [batch, classes].
        alpha: of the Beta distribution; every example draws its own weight.
        generator: of partner and weight.
    """
    partner = torch.randperm(len(x), generator=generator).to(x.device)
    weight = _beta(len(x), alpha, generator).to(x)
    mixed = _blend(x, x[partner], weight)
    return mixed, _blend(target, target[partner], weight)


def freq_mixstyle(log_mel: Tensor, alpha: float, generator: torch.Generator) -> Tensor:
    """Mix the mean and deviation of every mel band with another example's: devices change, scenes stay.

    Kim et al., "Domain generalization on efficient acoustic scene classification using residual
    normalization", 2021; Schmid et al., DCASE 2022. Shape [batch, 1, mels, frames].
    """
    mean = log_mel.mean(dim=(1, 3), keepdim=True)
    std = (log_mel.var(dim=(1, 3), keepdim=True) + 1e-6).sqrt()
    partner = torch.randperm(len(log_mel), generator=generator).to(log_mel.device)
    weight = _beta(len(log_mel), alpha, generator).to(log_mel)
    return (log_mel - mean) / std * _blend(std, std[partner], weight) + _blend(mean, mean[partner], weight)


def _blend(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    weight = weight.reshape(-1, *[1] * (a.dim() - 1))
    return weight * a + (1 - weight) * b


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator)


def _beta(count: int, alpha: float, generator: torch.Generator) -> Tensor:
    """Weights from Beta(alpha, alpha), the larger one kept for the example itself: [count]."""
    gammas = torch._standard_gamma(torch.full((2, count), alpha), generator=generator)
    share = gammas[0] / gammas.sum(0).clamp_min(1e-12)
    return torch.maximum(share, 1 - share)
