"""Scene: what sounds, before any room or microphone. One half of augmentation; `capture.py` is the other.

Two sounds at once are a sound that exists, so a mixture of waveforms can be given to a teacher, whose
probabilities describe it better than the weights of a mixture do (label-free distillation as in CED, Dinkel
et al., ICASSP 2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from runtime.errors import ConfigError
from train.augmentation.random_draws import uniform, uniform_between
from train.augmentation.views import Mixing

_SILENT_RMS = 1e-4  # -80 dBFS: sounds that are quieter are not made louder, or dither would become noise

_FACTOR = 200  # of the lengths of Fourier transforms: large primes among them would be slow


@dataclass(frozen=True)
class Scene:
    """Random speed, equal level, and mixtures of the sounds of a batch.

    Attributes:
        speed_p: share of waveforms that are played faster or slower.
        speed: least and greatest factor of speed, drawn uniformly.
        mix_p: share of waveforms to which another one of the batch is added.
        mix_db: level of the added one over the first, RMS in dB, drawn uniformly between these two.
        peak: of the resulting waveform; full scale is 1. Sounds are not made louder where all of a scene lie
            below -80 dBFS RMS.

    Raises:
        ConfigError: where a value makes no sense.
    """

    speed_p: float = 0.3
    speed: tuple[float, float] = (0.85, 1.18)
    mix_p: float = 0.65
    mix_db: tuple[float, float] = (-20.0, 6.0)
    peak: float = 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.speed_p <= 1 and 0 <= self.mix_p <= 1 and 0 < self.peak <= 1):
            raise ConfigError("scene.speed_p and scene.mix_p lie in [0, 1], scene.peak in (0, 1].")
        if not (0.25 <= self.speed[0] <= self.speed[1] <= 4 and self.mix_db[0] <= self.mix_db[1]):
            raise ConfigError(
                "scene.speed is two factors from 0.25 to 4 and scene.mix_db two levels, the smaller first."
            )

    def __call__(self, waveform: Tensor, generator: torch.Generator) -> tuple[Tensor, Mixing]:
        """Make scenes of the waveforms of a batch.

        Args:
            waveform: [batch, samples].
            generator: decides everything that is random.

        Returns:
            The scenes [batch, samples], and the mixing of their labels: each by its share of the amplitude.
        """
        count = len(waveform)
        chosen = uniform(count, generator) < self.speed_p
        speed = uniform_between(*self.speed, count, generator)
        places = uniform(count, generator)
        waveform = change_speed(waveform, torch.where(chosen, speed, torch.ones(count)), places)
        level = waveform.square().mean(dim=1, keepdim=True).sqrt()
        unit = waveform / level.clamp_min(_SILENT_RMS)
        partner = torch.randperm(count, generator=generator)
        amplitude = 10 ** (uniform_between(*self.mix_db, count, generator) / 20)
        amplitude = torch.where(uniform(count, generator) < self.mix_p, amplitude, torch.zeros(count))
        added, place = amplitude.to(unit).unsqueeze(1), partner.to(unit.device)
        mixture = unit + added * unit[place]
        gain = self.peak / mixture.abs().amax(dim=1, keepdim=True).clamp_min(_SILENT_RMS)
        audible = level >= _SILENT_RMS
        audible = audible | ((added > 0) & audible[place])
        # `unit` is 1 / _SILENT_RMS times a sound that is quieter
        gain = torch.where(audible, gain, gain.clamp_max(_SILENT_RMS))
        return mixture * gain, Mixing(partner, 1 / (1 + amplitude))


def change_speed(waveform: Tensor, speed: Tensor, places: Tensor) -> Tensor:
    """Play each waveform of a batch at its own speed, pitch and all, by resampling in the frequency domain.

    Args:
        waveform: [batch, samples].
        speed: [batch], factors; 1 leaves a waveform as it is.
        places: [batch] in [0, 1), where a slower waveform is cut, or a faster one is placed between zeros.

    Returns:
        [batch, samples].
    """
    changed = waveform.clone()
    samples = waveform.shape[1]
    for row in (speed != 1).nonzero()[:, 0].tolist():
        length = _FACTOR * round(samples / float(speed[row]) / _FACTOR)
        played = _resample_to(waveform[row], length)
        start = int(float(places[row]) * (abs(length - samples) + 1))
        if length >= samples:
            changed[row] = played[start : start + samples]
        else:
            changed[row] = 0
            changed[row, start : start + length] = played
    return changed


def _resample_to(waveform: Tensor, length: int) -> Tensor:
    """[samples] -> [length]: the same spectrum, cut or padded with zeros."""
    spectrum = torch.fft.rfft(waveform)
    bins = length // 2 + 1
    if bins <= len(spectrum):
        spectrum = spectrum[:bins]
    else:
        spectrum = torch.nn.functional.pad(spectrum, (0, bins - len(spectrum)))
    played: Tensor = torch.fft.irfft(spectrum, length) * (length / len(waveform))
    return played
