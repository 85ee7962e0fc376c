"""Augmentation of batches on the device where the model runs; the same seed gives the same view.

Every function takes the generator that its random numbers come from. None of them is on in evaluation.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from runtime.audio.read import read_recording
from runtime.errors import ConfigError, DataError
from runtime.spec import FrontEndSpec
from train.log_mel import LogMel


def generator_for(*key: int) -> torch.Generator:
    """A CPU generator that depends on nothing but the key, e.g. (seed, epoch, batch)."""
    return torch.Generator().manual_seed(
        int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)
    )


class Mixing(NamedTuple):
    """MixUp: every example of a batch mixed with another one (Zhang et al., ICLR 2018).

    Whatever belongs to the examples is mixed alike: inputs, labels, and a teacher's answers (SoftMixUp).

    Attributes:
        partner: int64 [batch], with whom.
        weight: float32 [batch], the example's own share; at least a half.
    """

    partner: Tensor
    weight: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """[batch, ...] -> the same shape."""
        return _blend(x, x[self.partner.to(x.device)], self.weight.to(x))


class View(NamedTuple):
    """What a network is shown of a batch.

    Attributes:
        waveform: [batch, samples], augmented, not mixed.
        log_mel: [batch, 1, mels, frames], augmented and mixed.
        mixing: how it was mixed; None where it was not.
    """

    waveform: Tensor
    log_mel: Tensor
    mixing: Mixing | None

    def mixed(self, x: Tensor) -> Tensor:
        """Mix what belongs to the examples, [batch, ...], as they were mixed."""
        return x if self.mixing is None else self.mixing(x)


@dataclass(frozen=True)
class Augmentation:
    """Which augmentations are on; null switches one off.

    Attributes:
        gain_db: random gain of the waveform, uniform in +- this many dB.
        roll_s: waveform rolled in time by up to this many seconds.
        impulse_p: share of waveforms heard through the impulse response of another microphone (Morocutti
            et al., "Device-robust acoustic scene classification via impulse response augmentation", 2023).
        impulse_dir: folder of wav files with such responses, for example of MicIRP; by default what the
            environment variable ``MIC_IR_DIR`` says.
        impulse_devices: names of the devices whose clips may be heard so; null means all.
        noise_snr_db: white noise at a signal-to-noise ratio uniform between these two, in dB.
        jitter_hz: the mel filter bank's lower and upper edge each moved by up to this many Hz, once a batch.
        mask_mels: SpecAugment: a random band of fewer than this many mels set to silence in each example
            (Park et al., Interspeech 2019).
        mask_frames: the same of frames.
        freq_mixstyle_p: share of batches with Freq-MixStyle.
        freq_mixstyle_alpha: its Beta distribution.
        mixup_alpha: Beta distribution of MixUp.
    """

    gain_db: float | None = 6.0
    roll_s: float | None = None
    impulse_p: float | None = None
    impulse_dir: str | None = None
    impulse_devices: tuple[str, ...] | None = None
    noise_snr_db: tuple[float, float] | None = None
    jitter_hz: float | None = None
    mask_mels: int | None = None
    mask_frames: int | None = None
    freq_mixstyle_p: float | None = 0.4
    freq_mixstyle_alpha: float = 0.3
    mixup_alpha: float | None = 0.3

    def view(
        self,
        waveform: Tensor,
        log_mel: LogMel,
        generator: torch.Generator,
        devices: Sequence[str] | None = None,
    ) -> View:
        """All of it, from waveforms [batch, samples] on; the generator decides everything that is random."""
        waveform = self.waveform(waveform, log_mel.spec.sample_rate, generator, devices)
        spec = self.frontend(log_mel.spec, generator)
        hears = log_mel if spec is log_mel.spec else LogMel(spec).to(waveform.device)
        features, mixing = self.spectrum(hears(waveform), generator, hears.silence)
        return View(waveform, features, mixing)

    def waveform(
        self,
        waveform: Tensor,
        sample_rate: int,
        generator: torch.Generator,
        devices: Sequence[str] | None = None,
    ) -> Tensor:
        """[batch, samples] and the name of each one's device -> the same shape."""
        if self.impulse_p is not None:
            responses = self._responses(sample_rate)
            chosen = _uniform(len(waveform), generator) < self.impulse_p
            if self.impulse_devices is not None and devices is not None:
                chosen &= torch.tensor([device in self.impulse_devices for device in devices])
            waveform = random_impulse(waveform, responses, chosen, generator)
        if self.gain_db is not None:
            waveform = random_gain(waveform, self.gain_db, generator)
        if self.roll_s is not None:
            waveform = random_roll(waveform, round(self.roll_s * sample_rate), generator)
        if self.noise_snr_db is not None:
            waveform = add_noise(waveform, *self.noise_snr_db, generator)
        return waveform

    def frontend(self, spec: FrontEndSpec, generator: torch.Generator) -> FrontEndSpec:
        """The front end of one batch: the spec itself, or one with its filter bank moved."""
        return spec if self.jitter_hz is None else jitter_bands(spec, self.jitter_hz, generator)

    def spectrum(
        self, log_mel: Tensor, generator: torch.Generator, silence: float = 0.0
    ) -> tuple[Tensor, Mixing | None]:
        """Log-mel [batch, 1, mels, frames] -> the same shape, and what was mixed: mix the targets alike.

        ``silence`` is the log-mel of nothing at all, which masks are filled with.
        """
        for axis, width in ((2, self.mask_mels), (3, self.mask_frames)):
            if width is not None:
                log_mel = mask(log_mel, axis, width, silence, generator)
        if self.freq_mixstyle_p is not None and _uniform(1, generator).item() < self.freq_mixstyle_p:
            log_mel = freq_mixstyle(log_mel, self.freq_mixstyle_alpha, generator)
        if self.mixup_alpha is None:
            return log_mel, None
        mixing = draw_mixing(len(log_mel), self.mixup_alpha, generator)
        return mixing(log_mel), mixing

    def _responses(self, sample_rate: int) -> Tensor:
        folder = self.impulse_dir or os.environ.get("MIC_IR_DIR")
        if not folder:
            raise DataError(
                "Where are the impulse responses? Set MIC_IR_DIR (or model.augmentation.impulse_dir) to a "
                "folder of wav files, for example of http://micirp.blogspot.com, or impulse_p to null."
            )
        return impulse_responses(folder, sample_rate)


_CHUNK = 4  # waveforms convolved at a time on a CPU: their spectra stay in a core's cache


@lru_cache(maxsize=4)
def impulse_responses(folder: str, sample_rate: int) -> Tensor:
    """The responses of a folder of wav files, each of unit energy: float32 [files, samples], zero-padded.

    Unit energy keeps the level of white noise, so that loudness does not give the microphone away.

    Raises:
        DataError: where the folder has no wav file.
        AudioError: where one of them cannot be read.
    """
    paths = sorted(Path(folder).glob("*.wav"))
    if not paths:
        raise DataError(f"{folder} holds no wav file to take impulse responses from: name another folder.")
    waves = [read_recording(path, sample_rate).samples for path in paths]
    responses = np.zeros((len(waves), max(map(len, waves))), np.float32)
    for row, wave in zip(responses, waves, strict=True):
        row[: len(wave)] = wave / max(float(np.linalg.norm(wave)), 1e-12)
    return torch.from_numpy(responses)


def random_impulse(waveform: Tensor, responses: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """Convolve the chosen waveforms with a random response each, by FFT.

    Args:
        waveform: [batch, samples].
        responses: [responses, samples of a response].
        chosen: bool [batch].
        generator: of which response.

    Returns:
        [batch, samples]; what rings on after the end is cut off, and the response's peak stays in its place,
        so that a waveform is not delayed.
    """
    drawn = responses[torch.randint(len(responses), (len(waveform),), generator=generator)]
    rows = chosen.nonzero()[:, 0]
    if not len(rows):
        return waveform
    parts = rows.split(_CHUNK if waveform.device.type == "cpu" else len(rows))
    heard = [_convolve(waveform[part.to(waveform.device)], drawn[part].to(waveform)) for part in parts]
    return waveform.index_copy(0, rows.to(waveform.device), torch.cat(heard))


def _convolve(waveform: Tensor, responses: Tensor) -> Tensor:
    """Each waveform [batch, samples] with its response [batch, taps], the response's peak at zero."""
    samples, taps = waveform.shape[1], responses.shape[1]
    length = next_fast_len(samples + taps - 1, real=True)
    spectrum = torch.fft.rfft(waveform, length) * torch.fft.rfft(responses, length)
    places = responses.abs().argmax(dim=1, keepdim=True) + torch.arange(samples, device=waveform.device)
    return torch.fft.irfft(spectrum, length).gather(1, places)


def add_noise(waveform: Tensor, low_db: float, high_db: float, generator: torch.Generator) -> Tensor:
    """Add white noise at a signal-to-noise ratio uniform in dB between the two: [batch, samples]."""
    snr_db = low_db + (high_db - low_db) * _uniform(len(waveform), generator)
    noise = torch.randn(waveform.shape, generator=generator).to(waveform)
    level = waveform.square().mean(dim=1).sqrt() * (10 ** (-snr_db / 20)).to(waveform)
    return waveform + level.unsqueeze(1) * noise


def jitter_bands(spec: FrontEndSpec, max_hz: float, generator: torch.Generator) -> FrontEndSpec:
    """A spec with each edge of its filter bank moved by up to ``max_hz``, within 0 and Nyquist.

    As CP-JKU and PaSST train (Koutini et al., "Efficient training of audio transformers with patchout",
    2022). The lower edge is taken up only, where it is 0.
    """
    low, high = ((2 * _uniform(2, generator) - 1) * max_hz).tolist()
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
    widths = (_uniform(len(x), generator) * width).long()
    starts = (_uniform(len(x), generator) * (size - widths + 1)).long()
    places = torch.arange(size)
    hidden = (places >= starts[:, None]) & (places < (starts + widths)[:, None])  # [batch, size]
    shape = [len(x) if i == 0 else size if i == axis else 1 for i in range(x.dim())]
    return x.masked_fill(hidden.reshape(shape).to(x.device), value)


def random_gain(waveform: Tensor, max_db: float, generator: torch.Generator) -> Tensor:
    """Scale each waveform by a gain uniform in dB within +- ``max_db``: [batch, samples]."""
    gain_db = (2 * _uniform(len(waveform), generator) - 1) * max_db
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


def draw_mixing(count: int, alpha: float, generator: torch.Generator) -> Mixing:
    """Draw a partner for each of ``count`` examples, and its weight from Beta(alpha, alpha)."""
    partner = torch.randperm(count, generator=generator)
    return Mixing(partner, _beta(count, alpha, generator))


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
