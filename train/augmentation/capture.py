"""Capture: what a room and a microphone do to a scene. One half of augmentation; `scene.py` is the other.

The functions are also what robustness is measured with, at stated strengths (`benchmarks.robustness`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from runtime.errors import ConfigError
from train.augmentation.impulse_responses import convolve_some, responses_for
from train.augmentation.random_draws import uniform, uniform_between
from train.augmentation.reverberation import reverberate_some
from train.augmentation.waveform import noise_level

_HUM_HARMONICS = 8


@dataclass(frozen=True)
class Capture:
    """Room, microphone, band limit, noise, gain and clipping, in the order in which they act on a sound.

    Attributes:
        reverberation_p: share of waveforms that sound in a room (`reverberation.reverberation_responses`).
        reverberation_s: least and greatest time in which the reverberation decays by 60 dB, seconds.
        reverberation_direct_db: least and greatest energy of the direct sound over the reverberation's.
        response_p: share of waveforms convolved with the impulse response of a microphone (Morocutti et al.,
            "Device-robust acoustic scene classification via impulse response augmentation", 2023).
        response_dir: folder of wav files with such responses, for example of MicIRP; by default that of the
            environment variable ``MIC_IR_DIR``.
        response_exclude: names of files in that folder to leave out, for a test with microphones that
            training never saw.
        devices: names of the corpus's devices whose clips are convolved; null means all.
        band_p: share of waveforms limited to the band of a lower sample rate.
        band_rates: these sample rates, Hz.
        noise_p: share of waveforms to which noise is added.
        noise_kinds: keys of `NOISES`; ``babble`` is the sum of three other waveforms of the batch.
        noise_snr_db: least and greatest signal-to-noise ratio, dB.
        gain_p: share of waveforms whose level is changed.
        gain_db: least and greatest gain, dB; what exceeds full scale is clipped.
        coding_p: share of waveforms coded in 8 bits, half of them linear and half mu-law.

    Raises:
        ConfigError: where a value makes no sense.
    """

    reverberation_p: float = 0.0
    reverberation_s: tuple[float, float] = (0.1, 0.8)
    reverberation_direct_db: tuple[float, float] = (-3.0, 12.0)
    response_p: float = 0.5
    response_dir: str | None = None
    response_exclude: tuple[str, ...] = ()
    devices: tuple[str, ...] | None = None
    band_p: float = 0.15
    band_rates: tuple[int, ...] = (8_000, 11_025, 16_000)
    noise_p: float = 0.4
    noise_kinds: tuple[str, ...] = ("white",)
    noise_snr_db: tuple[float, float] = (5.0, 40.0)
    gain_p: float = 0.7
    gain_db: tuple[float, float] = (-36.0, 12.0)
    coding_p: float = 0.0

    def __post_init__(self) -> None:
        shares = (
            self.reverberation_p, self.response_p, self.band_p, self.noise_p, self.gain_p, self.coding_p,
        )  # fmt: skip
        if not all(0 <= share <= 1 for share in shares):
            raise ConfigError("The shares of capture (reverberation_p, response_p, ...) lie in [0, 1].")
        known = {*NOISES, "babble"}
        if unknown := sorted(set(self.noise_kinds) - known):
            raise ConfigError(
                f"capture.noise_kinds has no '{unknown[0]}': choose from {', '.join(sorted(known))}."
            )
        if not 0 < self.reverberation_s[0] <= self.reverberation_s[1] <= 5:
            raise ConfigError("capture.reverberation_s is two times up to 5 seconds, the smaller first.")
        pairs = (self.noise_snr_db, self.gain_db, self.reverberation_direct_db)
        if any(low > high for low, high in pairs) or not (self.noise_kinds and self.band_rates):
            raise ConfigError(
                "capture.noise_snr_db, gain_db and reverberation_direct_db are two levels, the smaller "
                "first; noise_kinds and band_rates name at least one."
            )

    def __call__(
        self,
        scene: Tensor,
        sample_rate: int,
        generator: torch.Generator,
        devices: Sequence[str] | None = None,
    ) -> Tensor:
        """Capture the scenes of a batch, each by a device of its own.

        Args:
            scene: [batch, samples].
            sample_rate: Hz.
            generator: decides everything that is random.
            devices: name of the device that recorded each of them.

        Returns:
            [batch, samples], within full scale.
        """
        count = len(scene)
        waveform = scene
        if self.reverberation_p:
            waveform = reverberate_some(
                waveform, self.reverberation_p, self.reverberation_s, self.reverberation_direct_db,
                sample_rate, generator,
            )  # fmt: skip
        if self.response_p:
            responses = responses_for(
                self.response_dir,
                sample_rate,
                key="model.augmentation.capture.response_dir",
                off="response_p to 0",
                exclude=self.response_exclude,
            )
            waveform = convolve_some(waveform, self.response_p, responses, generator, devices, self.devices)
        waveform = self._limit_bands(waveform, sample_rate, generator)
        waveform = self._add_noises(waveform, scene, sample_rate, generator)
        gain_db = uniform_between(*self.gain_db, count, generator)
        gain_db = torch.where(uniform(count, generator) < self.gain_p, gain_db, torch.zeros(count))
        waveform = (waveform * (10 ** (gain_db / 20)).to(waveform).unsqueeze(1)).clamp(-1, 1)
        return self._code(waveform, generator)

    def _limit_bands(self, waveform: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
        chosen = uniform(len(waveform), generator) < self.band_p
        which = torch.randint(len(self.band_rates), (len(waveform),), generator=generator)
        for index, rate in enumerate(self.band_rates):
            rows = (chosen & (which == index)).nonzero()[:, 0].to(waveform.device)
            if len(rows) and rate < sample_rate:
                waveform = waveform.index_copy(0, rows, limit_band(waveform[rows], rate, sample_rate))
        return waveform

    def _add_noises(
        self, waveform: Tensor, scene: Tensor, sample_rate: int, generator: torch.Generator
    ) -> Tensor:
        count = len(waveform)
        chosen = uniform(count, generator) < self.noise_p
        which = torch.randint(len(self.noise_kinds), (count,), generator=generator)
        snr_db = uniform_between(*self.noise_snr_db, count, generator)
        for index, kind in enumerate(self.noise_kinds):
            rows = (chosen & (which == index)).nonzero()[:, 0]
            if not len(rows):
                continue
            if kind == "babble":
                noise = babble(scene, rows, generator)
            else:
                shape = (len(rows), waveform.shape[1])
                noise = NOISES[kind](shape, sample_rate, generator, waveform.device)
            places = rows.to(waveform.device)
            noisy = add_noise(waveform[places], noise.to(waveform), snr_db[rows])
            waveform = waveform.index_copy(0, places, noisy)
        return waveform

    def _code(self, waveform: Tensor, generator: torch.Generator) -> Tensor:
        if not self.coding_p:
            return waveform
        drawn = uniform(len(waveform), generator)
        chosen, first = drawn < self.coding_p, drawn < self.coding_p / 2
        for code, of_rows in ((mu_law, chosen & first), (eight_bits, chosen & ~first)):
            rows = of_rows.nonzero()[:, 0].to(waveform.device)
            if len(rows):
                waveform = waveform.index_copy(0, rows, code(waveform[rows]))
        return waveform


def limit_band(waveform: Tensor, rate: int, sample_rate: int) -> Tensor:
    """What is left of [batch, samples] after a device of a lower sample rate, at the old rate.

    A raised-cosine edge over the last tenth of the band below half of ``rate``, as resamplers have.
    """
    spectrum = torch.fft.rfft(waveform)
    hz = torch.linspace(0, sample_rate / 2, spectrum.shape[1], device=waveform.device)
    edge = ((rate / 2 - hz) / (0.1 * rate / 2)).clamp(0, 1)
    limited: Tensor = torch.fft.irfft(spectrum * (0.5 - 0.5 * torch.cos(math.pi * edge)), waveform.shape[1])
    return limited


def add_noise(waveform: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Add noise [batch, samples] to waveforms of the same shape at ratios [batch] in dB of RMS."""
    noise = noise / noise.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
    return waveform + noise_level(waveform, snr_db) * noise


_CPU = torch.device("cpu")


# Draws are made on the CPU, so that they are the same for every device; the rest is done on the device.
def white(
    shape: tuple[int, int], sample_rate: int, generator: torch.Generator, device: torch.device = _CPU
) -> Tensor:
    """White noise [batch, samples]."""
    return torch.randn(shape, generator=generator).to(device)


def pink(
    shape: tuple[int, int], sample_rate: int, generator: torch.Generator, device: torch.device = _CPU
) -> Tensor:
    """Noise whose power falls by 3 dB an octave from 20 Hz on: [batch, samples]."""
    spectrum = torch.fft.rfft(white(shape, sample_rate, generator, device))
    hz = torch.linspace(0, sample_rate / 2, spectrum.shape[1], device=device).clamp_min(20)
    noise: Tensor = torch.fft.irfft(spectrum / hz.sqrt(), shape[1])
    return noise


def hum(
    shape: tuple[int, int], sample_rate: int, generator: torch.Generator, device: torch.device = _CPU
) -> Tensor:
    """Mains hum of 50 or 60 Hz with falling harmonics at random phases: [batch, samples]."""
    seconds = torch.arange(shape[1], device=device) / sample_rate
    base = torch.where(uniform(shape[0], generator) < 0.5, 50.0, 60.0)[:, None, None].to(device)
    order = torch.arange(1, _HUM_HARMONICS + 1, device=device)[None, :, None]
    phase = torch.rand((shape[0], _HUM_HARMONICS, 1), generator=generator).to(device)
    return (torch.sin(2 * math.pi * (base * order * seconds + phase)) / order).sum(dim=1)


Noise = Callable[[tuple[int, int], int, torch.Generator, torch.device], Tensor]
NOISES: dict[str, Noise] = {"white": white, "pink": pink, "hum": hum}


def babble(scene: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
    """The sum of three random waveforms of a batch for each of some rows: [rows, samples]."""
    others = torch.randint(1, max(len(scene), 2), (len(rows), 3), generator=generator)
    return scene[((rows[:, None] + others) % len(scene)).to(scene.device)].sum(dim=1)


def mu_law(waveform: Tensor) -> Tensor:
    """Coded in 8 bits by the mu-law of ITU-T G.711 (mu = 255), and decoded."""
    coded = waveform.sign() * torch.log1p(255 * waveform.abs()) / math.log(256)
    coded = (coded * 127.5).round() / 127.5
    return coded.sign() * torch.expm1(coded.abs() * math.log(256)) / 255


def eight_bits(waveform: Tensor) -> Tensor:
    """Rounded to 8 bits linearly."""
    return (waveform * 127).round() / 127
