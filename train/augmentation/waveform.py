"""Augmentation of waveforms [batch, samples]: noise, gain, roll."""

from __future__ import annotations

import torch
from torch import Tensor

from train.augmentation.random_draws import uniform


def add_white_noise(waveform: Tensor, low_db: float, high_db: float, generator: torch.Generator) -> Tensor:
    """Add white noise at a signal-to-noise ratio uniform in dB between the two: [batch, samples]."""
    snr_db = low_db + (high_db - low_db) * uniform(len(waveform), generator)
    noise = torch.randn(waveform.shape, generator=generator).to(waveform)
    return waveform + noise_level(waveform, snr_db) * noise


def noise_level(waveform: Tensor, snr_db: Tensor) -> Tensor:
    """RMS [batch, 1] of the noise that gives waveforms [batch, samples] the ratios [batch] in dB."""
    level = waveform.square().mean(dim=1).sqrt() * (10 ** (-snr_db / 20)).to(waveform)
    return level.unsqueeze(1)


def random_gain(waveform: Tensor, max_db: float, generator: torch.Generator) -> Tensor:
    """Scale each waveform by a gain uniform in dB within +- ``max_db``: [batch, samples]."""
    gain_db = (2 * uniform(len(waveform), generator) - 1) * max_db
    return waveform * (10 ** (gain_db / 20)).to(waveform).unsqueeze(1)


def random_roll(waveform: Tensor, max_samples: int, generator: torch.Generator) -> Tensor:
    """Roll each waveform in time by up to ``max_samples`` either way: [batch, samples]."""
    shifts = torch.randint(-max_samples, max_samples + 1, (len(waveform), 1), generator=generator)
    if waveform.device.type == "cpu":  # two copies a row, where a gather costs an index for every sample
        return torch.stack(
            [row.roll(shift) for row, shift in zip(waveform, shifts[:, 0].tolist(), strict=True)]
        )
    places = torch.arange(waveform.shape[1]) - shifts
    return waveform.gather(1, places.remainder(waveform.shape[1]).to(waveform.device))
