"""The one state machine that hears: chunks of any size in, one prediction per window out.

A stream is defined by invariance: however a waveform is cut into chunks, the predictions are those that
`Model.classify` gives for the same windows, bit for bit. Reading a file is a fold of the stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.errors import ConfigError
from runtime.frontend import Array, as_float
from runtime.prediction import Prediction, State, heard, to_scores, unheard
from runtime.sliding import SlidingLogMel
from runtime.spec import ModelSpec

# A window whose RMS, its mean taken off, lies below this holds nothing to tell: digital zeros, a
# constant, or less than four steps of a 16-bit converter, where a muted line's own noise begins.
NO_SIGNAL_DBFS = -80.0

Logits = Callable[[Array], Array]


@dataclass(frozen=True)
class Window:
    """A stretch of one window's length that came to its end in a stream.

    Attributes:
        start: first sample, at the model's rate, counted from the start of the stream.
        end: one past its last sample; nearer than the window's length where a short clip was padded.
        state: ``ok`` where there is something to classify.
        log_mel: float32 [n_mels, frames] where ``state`` is ``ok``; the next window overwrites it.
    """

    start: int
    end: int
    state: State
    log_mel: Array | None = None


class Stream:
    """Predictions of a waveform that arrives in chunks.

    Args:
        spec: of the model.
        logits: runs the network, float32 [batch, 1, n_mels, frames] -> [batch, classes].
        hop_s: seconds from one window to the next.
        sample_rate: of the chunks, Hz; the model's own where None. Another rate is resampled on the
            way, statefully (soxr, HQ).
        channel: which channel of a chunk [samples, channels] to hear; their mean where None.

    Raises:
        ConfigError: where the hop, the rate or the channel makes no sense.

    Example:
        >>> stream = load_model(model_path).stream(hop_s=0.5)
        >>> noise = np.random.default_rng(0).normal(scale=0.1, size=64000).astype(np.float32)
        >>> [p.start_s for p in stream.push(noise[:40000]) + stream.push(noise[40000:])]
        [0.0, 0.5, 1.0]
    """

    def __init__(
        self,
        spec: ModelSpec,
        logits: Logits,
        *,
        hop_s: float,
        sample_rate: int | None = None,
        channel: int | None = None,
    ) -> None:
        self.spec = spec
        self._logits = logits
        self.hop_samples = _hop_samples(hop_s, spec)
        self._sliding = SlidingLogMel(spec.frontend, spec.clip_samples, self.hop_samples)
        self._input = _Input(sample_rate or spec.frontend.sample_rate, spec.frontend.sample_rate, channel)
        self._length = spec.clip_samples
        # the last samples heard lie in _recent[:_filled]; twice a window, so that they seldom move
        self._recent = np.zeros(2 * self._length, np.float32)
        self._scratch = np.empty(self._length, np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget all that was heard; time starts again at zero."""
        self._input.reset()
        self._filled = 0
        self._heard = 0  # samples since the start of the stream, lost ones included
        self._next = 0  # where the next window starts
        self._last_end = 0  # where the last window ended
        self._gap_end = 0  # windows that start before this touch samples that were lost
        self.level_dbfs = -math.inf

    def push(self, chunk: npt.NDArray[Any]) -> list[Prediction]:
        """Hear the next samples.

        Args:
            chunk: int16 or float [samples] or [samples, channels], of any length.

        Returns:
            one prediction for every window that ends in this chunk.

        Raises:
            TypeError: for samples of another dtype.
            AudioError: where a sample is NaN or infinite; the chunk is left out of the stream then.
        """
        return [self._judge(window) for window in self.windows(chunk)]

    def flush(self) -> list[Prediction]:
        """End the stream: hear what the resampler still holds and what lies after the last window.

        Samples after the last window get one more window, aligned to the end. A stream shorter than one
        window is padded with zeros at its end. The stream is then as new.
        """
        predictions = [self._judge(window) for window in self._hear(self._input.finish())]
        tail = self._tail()
        if tail is not None:
            predictions.append(self._judge(tail))
        self.reset()
        return predictions

    def gap(self, seconds: float) -> list[Prediction]:
        """Note that samples were lost: time goes on, and every window that touches them is a ``gap``.

        Windows that lie wholly within the gap are left out.

        Args:
            seconds: how much was lost.
        """
        windows = list(self._hear(self._input.finish()))
        lost = round(seconds * self.spec.frontend.sample_rate)
        begin, end = self._heard, self._heard + lost
        self._gap_end = end
        while self._next < begin and self._next + self._length <= end:
            windows.append(self._advance(Window(self._next, self._next + self._length, "gap")))
        if self._next + self._length <= end:  # on to the first window that ends after the gap
            self._next += -(-(end + 1 - self._length - self._next) // self.hop_samples) * self.hop_samples
        self._remember(np.zeros(min(lost, self._length), np.float32))
        self._heard = end
        return [self._judge(window) for window in windows]

    def windows(self, chunk: npt.NDArray[Any]) -> Iterator[Window]:
        """Hear the next samples and yield the windows that end in them, not yet classified."""
        return self._hear(self._input.convert(chunk))

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

    def _tail(self) -> Window | None:
        """The window aligned to the end, where samples remain after the last one."""
        if self._heard in (0, self._last_end):
            return None
        start = max(0, self._heard - self._length)
        samples = self._recent[: self._filled][-self._length :]
        padded = np.pad(samples, (0, self._length - len(samples)))
        return self._look(start, padded)

    def _look(self, start: int, samples: Array) -> Window:
        """Decide on a window whether there is something to classify; if so, compute its log-mel."""
        self.level_dbfs = self._level(samples)
        end = min(start + self._length, self._heard)
        if start < self._gap_end:
            return Window(start, end, "gap")
        if self.level_dbfs < NO_SIGNAL_DBFS:
            return Window(start, end, "no_signal")
        return Window(start, end, "ok", self._sliding(samples, start))

    def _level(self, samples: Array) -> float:
        """RMS without the mean, in dB of full scale (a square wave of +-1 has 0)."""
        centred = np.subtract(samples, samples.mean(), out=self._scratch)
        power = float(np.dot(centred, centred)) / len(samples)
        return 10 * math.log10(power) if power > 0 else -math.inf

    def _judge(self, window: Window) -> Prediction:
        start_s, end_s = self.seconds(window)
        if window.log_mel is None:
            return unheard(window.state, start_s, end_s)
        return heard(to_scores(self._logits(window.log_mel[None, None])[0], self.spec), start_s, end_s)

    def seconds(self, window: Window) -> tuple[float, float]:
        """Start and end of a window, in seconds since the start of the stream."""
        rate = self.spec.frontend.sample_rate
        return window.start / rate, window.end / rate


def _hop_samples(hop_s: float, spec: ModelSpec) -> int:
    rate = spec.frontend.sample_rate
    if not (math.isfinite(hop_s) and round(hop_s * rate) >= 1):
        raise ConfigError(f"A hop of {hop_s} s is not a positive time: give one such as 0.25.")
    return round(hop_s * rate)


class _Input:
    """Chunks as they come to mono float32 at the model's rate."""

    def __init__(self, rate: int, model_rate: int, channel: int | None) -> None:
        if rate < 1:
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
        mono = self._downmix(as_float(np.asarray(chunk)))
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
