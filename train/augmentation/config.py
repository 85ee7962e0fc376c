"""Augmentation of batches on the device where the model runs; the same seed gives the same view.

Every function takes the generator of its random numbers. Evaluation uses none of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec
from train.augmentation.capture import Capture
from train.augmentation.impulse_responses import convolve_some, responses_for
from train.augmentation.random_draws import uniform
from train.augmentation.scene import Scene
from train.augmentation.spectrum import freq_mixstyle, jitter_bands, mask
from train.augmentation.views import Mixing, View, draw_mixing
from train.augmentation.waveform import add_white_noise, random_gain, random_roll
from train.log_mel import LogMel


@dataclass(frozen=True)
class Augmentation:
    """Which augmentations are on, and their strengths; null switches one off.

    Attributes:
        scene: speed, level and mixtures of waveforms, which a teacher receives, too (`scene.py`).
        capture: what a room and a microphone do to the scene (`capture.py`).
        gain_db: random gain of the waveform, uniform in +- this many dB.
        roll_s: waveform rolled in time by up to this many seconds.
        impulse_p: share of waveforms convolved with the impulse response of another microphone (Morocutti
            et al., "Device-robust acoustic scene classification via impulse response augmentation", 2023).
        impulse_dir: folder of wav files with such responses, for example of MicIRP; by default the value of
            the environment variable ``MIC_IR_DIR``.
        impulse_devices: names of the devices whose clips may be convolved; null means all.
        noise_snr_db: white noise at a signal-to-noise ratio uniform between these two, in dB.
        jitter_hz: the mel filter bank's lower and upper edge each moved by up to this many Hz, once a batch.
        mask_mels: SpecAugment: a random band of fewer than this many mels set to silence in each example
            (Park et al., Interspeech 2019).
        mask_frames: the same of frames.
        freq_mixstyle_p: share of batches with Freq-MixStyle.
        freq_mixstyle_alpha: its Beta distribution.
        mixup_alpha: Beta distribution of MixUp.

    Raises:
        ConfigError: where a value makes no sense.
    """

    scene: Scene | None = None
    capture: Capture | None = None
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

    def __post_init__(self) -> None:
        for name in ("impulse_p", "freq_mixstyle_p"):
            if (share := getattr(self, name)) is not None and not 0 <= share <= 1:
                raise ConfigError(f"model.augmentation.{name} lies in [0, 1], not {share}.")
        for name in ("gain_db", "roll_s", "jitter_hz", "freq_mixstyle_alpha", "mixup_alpha"):
            if (value := getattr(self, name)) is not None and not 0 <= value < math.inf:
                raise ConfigError(f"model.augmentation.{name} is a number of 0 or more, not {value}.")
        if self.scene is not None and self.scene.mix_p and self.mixup_alpha is not None:
            raise ConfigError(
                "scene mixes waveforms and mixup_alpha mixes log-mels, and a label can follow only one: set "
                "model.augmentation.mixup_alpha to null or model.augmentation.scene.mix_p to 0."
            )

    def view(
        self,
        waveform: Tensor,
        log_mel: LogMel,
        generator: torch.Generator,
        devices: Sequence[str] | None = None,
    ) -> View:
        """Augment waveforms [batch, samples] and compute their log-mels; the generator decides all draws."""
        rate, mixing, scene = log_mel.spec.sample_rate, None, None
        if self.scene is not None:
            waveform, mixing = self.scene(waveform, generator)
        if self.scene is not None or self.capture is not None:
            scene = waveform
        if self.capture is not None:
            waveform = self.capture(waveform, rate, generator, devices)
        waveform = self.waveform(waveform, rate, generator, devices)
        spec = self.frontend(log_mel.spec, generator)
        front_end = log_mel if spec is log_mel.spec else LogMel(spec).to(waveform.device)
        features, mixup = self.spectrum(front_end(waveform), generator, front_end.silence)
        return View(waveform, features, mixing if mixup is None else mixup, mixup, scene)

    def waveform(
        self,
        waveform: Tensor,
        sample_rate: int,
        generator: torch.Generator,
        devices: Sequence[str] | None = None,
    ) -> Tensor:
        """[batch, samples] and the name of each one's device -> the same shape."""
        if self.impulse_p is not None:
            responses = responses_for(
                self.impulse_dir, sample_rate, key="model.augmentation.impulse_dir", off="impulse_p to null"
            )
            waveform = convolve_some(
                waveform, self.impulse_p, responses, generator, devices, self.impulse_devices
            )
        if self.gain_db is not None:
            waveform = random_gain(waveform, self.gain_db, generator)
        if self.roll_s is not None:
            waveform = random_roll(waveform, round(self.roll_s * sample_rate), generator)
        if self.noise_snr_db is not None:
            waveform = add_white_noise(waveform, *self.noise_snr_db, generator)
        return waveform

    def frontend(self, spec: FrontEndSpec, generator: torch.Generator) -> FrontEndSpec:
        """The front end of one batch: the spec itself, or one with its filter bank moved."""
        return spec if self.jitter_hz is None else jitter_bands(spec, self.jitter_hz, generator)

    def spectrum(
        self, log_mel: Tensor, generator: torch.Generator, silence: float = 0.0
    ) -> tuple[Tensor, Mixing | None]:
        """Log-mel [batch, 1, mels, frames] -> the same shape, and the MixUp that targets need as well.

        ``silence`` is the log-mel of digital silence, which fills the masks.
        """
        for axis, width in ((2, self.mask_mels), (3, self.mask_frames)):
            if width is not None:
                log_mel = mask(log_mel, axis, width, silence, generator)
        if self.freq_mixstyle_p is not None and uniform(1, generator).item() < self.freq_mixstyle_p:
            log_mel = freq_mixstyle(log_mel, self.freq_mixstyle_alpha, generator)
        if self.mixup_alpha is None:
            return log_mel, None
        mixing = draw_mixing(len(log_mel), self.mixup_alpha, generator)
        return mixing(log_mel), mixing
