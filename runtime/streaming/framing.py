"""Cuts what arrives, in chunks of any size, into windows: resampled, mixed to mono, looked at once.

The same for a file and for a microphone, and free of the network: `runtime.streaming.stream` classifies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.audio.log_mel import Array, as_float
from runtime.audio.sliding_log_mel import SlidingLogMel
from runtime.audio.window_grid import NO_SIGNAL_DBFS, is_tail, level_dbfs
from runtime.errors import ConfigError
from runtime.model.prediction import State
from runtime.spec import MAX_RATE, ModelSpec

RATES = range(1_000, MAX_RATE + 1)  # Hz; what is beyond them is a damaged header or a slip


@dataclass(frozen=True)
class Window:
    """A stretch of one window's length that came to its end in a stream.

    Attributes:
        start: first sample, at the model's rate, counted from the start of the stream.
        end: one past its last sample; nearer than the window's length where a short clip was padded.
        state: ``ok`` where there is something to classify.
        level_dbfs: RMS without the mean, in dB of full scale; -inf for what was lost.
        log_mel: float32 [n_mels, frames] where ``state`` is ``ok``; the next window overwrites it.
    """

    start: int
    end: int
    state: State
    level_dbfs: float = -math.inf
    log_mel: Array | None = None


class WindowCutter:
    """The windows of a waveform that arrives in chunks.

    Args:
        spec: of the model.
        hop_s: seconds from one window to the next.
        sample_rate: of the chunks, Hz; the model's own where None. Another rate is resampled on the
            way, statefully (soxr, HQ).
        channel: which channel of a chunk [samples, channels] to hear; their mean where None.

    Attributes:
        hop_samples: from one window to the next, at the model's rate.
        level_dbfs: RMS of the newest window without its mean, in dB of full scale.

    Raises:
        ConfigError: where the hop, the rate or the channel makes no sense.

    Example:
        >>> cutter = WindowCutter(load_model(model_path).spec, hop_s=0.5)
        >>> noise = np.random.default_rng(0).normal(scale=0.1, size=48000).astype(np.float32)
        >>> [(window.start, window.state, window.log_mel.shape) for window in cutter.push(noise)]
        [(0, 'ok', (256, 64)), (16000, 'ok', (256, 64))]
    """

    def __init__(
        self, spec: ModelSpec, hop_s: float, sample_rate: int | None = None, channel: int | None = None
    ) -> None:
        self._spec = spec
        self._rate = spec.frontend.sample_rate
        self.set_hop(hop_s)
        self._input = _Input(self._rate if sample_rate is None else sample_rate, self._rate, channel)
        self._length = spec.clip_samples
        # the last samples heard lie in _recent[:_filled]; twice a window, so that they seldom move
        self._recent = np.zeros(2 * self._length, np.float32)
        self.level_dbfs = -math.inf
        self.reset()

    def reset(self) -> None:
        """Forget all that was heard; time starts again at zero."""
        self._input.reset()
        self._filled = 0
        self._heard = 0  # samples since the start of the stream, lost ones included
        self._next = 0  # where the next window starts
        self._last_end = 0  # where the last window ended
        self._gap_end = 0  # windows that start before this touch samples that were lost

    @property
    def heard_s(self) -> float:
        """Seconds of the stream so far, lost ones included."""
        return self._heard / self._rate

    def set_hop(self, hop_s: float) -> None:
        """Change the time between windows from the next but one on."""
        if not (math.isfinite(hop_s) and round(hop_s * self._rate) >= 1):
            raise ConfigError(f"A hop of {hop_s} s is not a positive time: give one such as 0.25.")
        self.hop_samples = round(hop_s * self._rate)
        self._sliding = SlidingLogMel(self._spec.frontend, self._spec.clip_samples, self.hop_samples)

    def push(self, chunk: npt.NDArray[Any]) -> Iterator[Window]:
        """Hear the next samples, int16 or float [samples] or [samples, channels], of any length.

        Yields:
            the windows that end in them; all must be taken before the next call.

        Raises:
            TypeError: for samples of another dtype.
            AudioError: where a sample is NaN or infinite; the chunk is left out of the stream then.
        """
        return self._hear(self._input.convert(chunk))

    def finish(self) -> Iterator[Window]:
        """End the stream: what the resampler still holds, and a window for what lies after the last one.

        That window is aligned to the end (`runtime.audio.window_grid.is_tail` says when it is due). A stream
        shorter than a window is padded with zeros at its end. The stream is as new afterwards.
        """
        yield from self._hear(self._input.finish())
        rest = self._heard - self._last_end
        if rest and (not self._last_end or is_tail(rest, self.hop_samples)):
            samples = self._recent[: self._filled][-self._length :]
            padded = np.pad(samples, (0, self._length - len(samples)))
            yield self._look(max(0, self._heard - self._length), padded)
        self.reset()

    def gap(self, seconds: float) -> Iterator[Window]:
        """Note that samples were lost: time goes on, and every window that touches them is a ``gap``.

        Windows that lie wholly within the gap are left out.
        """
        yield from self._hear(self._input.finish())
        lost = round(seconds * self._rate)
        begin, end = self._heard, self._heard + lost
        self._gap_end = end
        while self._next < begin and self._next + self._length <= end:
            yield self._advance(Window(self._next, self._next + self._length, "gap"))
        if self._next + self._length <= end:  # on to the first window that ends after the gap
            self._next += -(-(end + 1 - self._length - self._next) // self.hop_samples) * self.hop_samples
        self._remember(np.zeros(min(lost, self._length), np.float32))
        self._heard = end

    def _hear(self, samples: Array) -> Iterator[Window]:
        """Take in samples at the model's rate, up to the end of the next window, again and again."""
        while len(samples):
            due = self._next + self._length - self._heard
            taken = samples[: min(due, self._length)]
            samples = samples[len(taken) :]
            self._remember(taken)
            self._heard += len(taken)
            if len(taken) == due:
                yield self._advance(self._look(self._next, self._recent[: self._filled][-self._length :]))

    def _remember(self, samples: Array) -> None:
        """Append to the recent samples; move the last window to the front when the buffer is full."""
        if self._filled + len(samples) > len(self._recent):
            self._recent[: self._length] = self._recent[self._filled - self._length : self._filled]
            self._filled = self._length
        self._recent[self._filled : self._filled + len(samples)] = samples
        self._filled += len(samples)

    def _advance(self, window: Window) -> Window:
        self._last_end = window.end
        self._next += self.hop_samples
        return window

    def _look(self, start: int, samples: Array) -> Window:
        """Decide on a window whether there is something to classify; if so, compute its log-mel."""
        self.level_dbfs = level_dbfs(samples)
        end = min(start + self._length, self._heard)
        if start < self._gap_end:
            return Window(start, end, "gap", self.level_dbfs)
        if self.level_dbfs < NO_SIGNAL_DBFS:
            return Window(start, end, "no_signal", self.level_dbfs)
        return Window(start, end, "ok", self.level_dbfs, self._sliding(samples, start))


class _Input:
    """Chunks as they come to mono float32 at the model's rate."""

    def __init__(self, rate: int, model_rate: int, channel: int | None) -> None:
        if not RATES.start <= rate < RATES.stop:
            raise ConfigError(f"A sample rate of {rate} Hz is not one: give one such as 48000.")
        if channel is not None and channel < 0:
            raise ConfigError(f"There is no channel {channel}: channels count from 0.")
        self._rate, self._model_rate, self._channel = rate, model_rate, channel
        self.reset()

    def reset(self) -> None:
        self._resampler: Any = None
        if self._rate != self._model_rate:
            import soxr  # only here: a microphone at the model's rate starts 0.1 s sooner without it

            self._resampler = soxr.ResampleStream(self._rate, self._model_rate, 1, "float32", "HQ")

    def convert(self, chunk: npt.NDArray[Any]) -> Array:
        """Any chunk -> float32 [samples'], trailing by what the resampler's filter still needs."""
        samples = as_float(np.asarray(chunk))
        if not len(samples):
            return np.empty(0, np.float32)
        mono = self._downmix(samples)
        if self._resampler is None:
            return mono
        resampled: Array = self._resampler.resample_chunk(np.ascontiguousarray(mono))
        return resampled

    def finish(self) -> Array:
        """What the resampler still holds; it is as new afterwards."""
        if self._resampler is None:
            return np.empty(0, np.float32)
        rest: Array = self._resampler.resample_chunk(np.empty(0, np.float32), last=True)
        self.reset()
        return rest

    def _downmix(self, samples: Array) -> Array:
        if samples.ndim == 1:
            return samples
        if samples.ndim != 2:
            raise ConfigError(
                f"Audio has the shape [samples] or [samples, channels], not {list(samples.shape)}."
            )
        channels = samples.shape[1]
        if self._channel is not None:
            if self._channel >= channels:
                raise ConfigError(
                    f"There is no channel {self._channel}: the audio has {channels}, from 0 on."
                )
            return samples[:, self._channel]
        # channel by channel: numpy's own sum may round differently for another memory layout
        mix = samples[:, 0].copy()
        for channel in range(1, channels):
            mix += samples[:, channel]
        mix /= np.float32(channels)
        return mix
