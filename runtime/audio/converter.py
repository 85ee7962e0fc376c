"""Chunks of audio as they come to mono float32 at one rate: scaled, mixed down, resampled.

The one path for files, arrays, pipes, microphones and training.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from runtime.audio.level import NO_SIGNAL_DBFS
from runtime.audio.resample import Resampler
from runtime.audio.samples import RATES, Array, as_float, check_layout
from runtime.errors import AudioError, AudioWarning, ConfigError

CANCELS = (
    "The channels cancel each other in their mean, as one with inverted polarity does: choose one of them "
    "(`--channel 0`, `channel=0`)."
)
HAS_OFFSET = (
    "The audio has a constant offset above 0.05 of full scale, which may change labels: remove it with a "
    "high-pass filter."
)
# Of the labels that the packaged model gives to ESC-10, 97 to 99 % stay the same at this offset, 85 % at 0.5.
_OFFSET = 0.05
_CANCELLED = (
    1e-2  # of the channels' power is left in their mean; equal channels leave 1, independent ones 0.5
)
_SILENT_POWER = 10 ** (NO_SIGNAL_DBFS / 10)
_NO_SAMPLES: Array = np.empty(0, np.float32)


class Checked(NamedTuple):
    """A chunk that can be converted.

    Attributes:
        samples: float32 [samples] or [samples, channels].
        mono: float32 [samples], of one channel or the mean of all.
        channels: how many there are; None where no chunk had samples yet.
    """

    samples: Array
    mono: Array
    channels: int | None


def warn(note: str) -> None:
    """Issue an `AudioWarning`."""
    warnings.warn(note, AudioWarning, stacklevel=2)


class Converter:
    """Chunks to mono at one rate.

    Args:
        sample_rate: of the chunks, Hz.
        target_rate: of what is returned, Hz. Another rate than the chunks' is resampled statefully, so that
            the result does not depend on how the audio was cut into chunks.
        channel: which channel to take; the mean of all where None.
        on_note: called with what is wrong with the audio without being refused, `CANCELS` or `HAS_OFFSET`,
            each at most once until `reset`; they are looked for in every second of audio. An `AudioWarning`
            by default.

    Raises:
        ConfigError: where the rate or the channel makes no sense.

    Example:
        >>> converter = Converter(48_000, 32_000)
        >>> chunk = np.zeros((4800, 2), np.float32)
        >>> len(converter.push(chunk)) + len(converter.finish())
        3200
    """

    def __init__(
        self,
        sample_rate: int,
        target_rate: int,
        channel: int | None = None,
        on_note: Callable[[str], None] = warn,
    ) -> None:
        if not RATES.start <= sample_rate < RATES.stop:
            raise ConfigError(f"A sample rate of {sample_rate} Hz is out of range: give one such as 48000.")
        if channel is not None and channel < 0:
            raise ConfigError(f"There is no channel {channel}: channels count from 0.")
        self._sample_rate, self._channel, self._on_note = sample_rate, channel, on_note
        self._resampler = Resampler(sample_rate, target_rate)
        self.reset()

    def reset(self) -> None:
        """Start anew, with any number of channels."""
        self._resampler.reset()
        self._channels: int | None = None
        self._notes: list[str] = []
        self._start_second()

    def push(self, chunk: npt.NDArray[Any]) -> Array:
        """Convert the next samples.

        Args:
            chunk: int16 or float [samples] or [samples, channels], of any length.

        Returns:
            float32 [samples'], without what the resampler's filter still needs samples for.

        Raises:
            TypeError: for samples of another dtype.
            AudioError: where the samples or their layout cannot be used, or the number of channels changed;
                the chunk is left out then.
            ConfigError: where the chosen channel does not exist.
        """
        return self.convert(self.check(chunk))

    def check(self, chunk: npt.NDArray[Any]) -> Checked:
        """Refuse a chunk that `push` would refuse, or mix it down for `convert`; nothing is taken in yet."""
        chunk = np.asarray(chunk)
        if chunk.ndim and not len(chunk):
            return Checked(_NO_SAMPLES, _NO_SAMPLES, self._channels)
        channels = check_layout(chunk.shape) if self._channels is None else self._check_channels(chunk.shape)
        samples = as_float(chunk)
        return Checked(samples, self._downmix(samples), channels)

    def convert(self, checked: Checked) -> Array:
        """Take in the next samples, as `check` gave them; see `push` for what is returned."""
        if not len(checked.mono):
            return _NO_SAMPLES
        self._channels = checked.channels
        self._examine(checked.samples, checked.mono)
        return self._resampler.push(checked.mono)

    def finish(self) -> Array:
        """What the resampler still holds; its state is that of a new one afterwards."""
        self._note()
        self._channels = None
        return self._resampler.finish()

    def _check_channels(self, shape: tuple[int, ...]) -> int:
        channels = 1 if len(shape) == 1 else shape[-1]
        if len(shape) > 2 or channels != self._channels:
            raise AudioError(
                f"A chunk of shape {list(shape)} follows chunks with {self._channels} channel(s): a stream "
                "takes [samples] or [samples, channels] with one number of channels."
            )
        return channels

    def _downmix(self, samples: Array) -> Array:
        if samples.ndim == 1:
            if not self._channel:
                return samples
            samples = samples[:, None]
        channels = samples.shape[1]
        if self._channel is not None:
            if self._channel >= channels:
                raise ConfigError(
                    f"There is no channel {self._channel}: the audio has {channels}, from 0 on."
                )
            return samples[:, self._channel]
        if channels == 1:
            return samples[:, 0]
        # channel by channel: numpy's own sum may round differently for another memory layout
        mix = samples[:, 0].copy()
        for channel in range(1, channels):
            mix += samples[:, channel]
        mix /= np.float32(channels)
        return mix

    def _examine(self, samples: Array, mono: Array) -> None:
        """Sum up each second of audio, then note what is wrong with it."""
        if len(self._notes) == len((CANCELS, HAS_OFFSET)):
            return
        while len(mono) > (left := self._sample_rate - self._count):
            self._sum_up(samples[:left], mono[:left])
            samples, mono = samples[left:], mono[left:]
        self._sum_up(samples, mono)

    def _sum_up(self, samples: Array, mono: Array) -> None:
        """Add samples of one second to its sums."""
        self._count += len(mono)
        self._sum += float(np.einsum("s->", mono))  # coarser than np.sum, in half of its time
        if samples.ndim == 2 and samples.shape[1] > 1 and self._channel is None:
            self._mono_squares += float(np.dot(mono, mono))
            self._channel_squares += float(np.einsum("sc,sc->", samples, samples)) / samples.shape[1]
        if self._count == self._sample_rate:
            self._note()

    def _note(self) -> None:
        """Note what is wrong with the samples since the last call."""
        if not self._count:
            return
        found = {
            CANCELS: self._mono_squares < _CANCELLED * self._channel_squares
            and self._channel_squares / self._count > _SILENT_POWER,
            HAS_OFFSET: abs(self._sum / self._count) > _OFFSET,
        }
        self._start_second()
        for note in found:
            if found[note] and note not in self._notes:
                self._notes.append(note)
                self._on_note(note)

    def _start_second(self) -> None:
        self._count, self._sum, self._mono_squares, self._channel_squares = 0, 0.0, 0.0, 0.0
