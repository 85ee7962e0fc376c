"""Framing: chunks of any size to windows, each with its level and, where there is a signal, its log-mel.

The same for files and microphones, and free of the network: `runtime.streaming.stream` classifies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.audio.converter import Checked, Converter, warn
from runtime.audio.level import NO_SIGNAL_DBFS, level_dbfs
from runtime.audio.log_mel import LogMel
from runtime.audio.samples import Array
from runtime.audio.sliding_log_mel import SlidingLogMel
from runtime.audio.window_grid import is_tail
from runtime.errors import ConfigError
from runtime.model.prediction import State
from runtime.spec import ModelSpec


@dataclass(frozen=True)
class FramedWindow:
    """A window that came to its end in a stream.

    Attributes:
        start: first sample, at the model's rate, counted from the start of the stream.
        end: one past its last sample; the clip's end where a short clip was padded.
        state: ``ok`` where there is something to classify.
        level_dbfs: RMS without the mean, in dB of full scale; -inf for lost samples.
        log_mel: float32 [n_mels, frames] where ``state`` is ``ok``; the next window overwrites it.
    """

    start: int
    end: int
    state: State
    level_dbfs: float = -math.inf
    log_mel: Array | None = None


class Framer:
    """The windows of a waveform that arrives in chunks.

    Args:
        spec: of the model.
        hop_s: seconds from one window to the next.
        sample_rate: of the chunks, Hz; the model's own where None. Another rate is resampled statefully.
        channel: which channel of a chunk [samples, channels] to take; their mean where None.
        front_end: computes the log-mels; that of numpy where None.
        on_note: as of `Converter`.

    Attributes:
        hop_samples: from one window to the next, at the model's rate.
        level_dbfs: RMS of the newest window without its mean, in dB of full scale.

    Raises:
        ConfigError: where the hop, the rate or the channel makes no sense.

    Example:
        >>> framer = Framer(load_model(model_path).spec, hop_s=0.5)
        >>> noise = np.random.default_rng(0).normal(scale=0.1, size=48000).astype(np.float32)
        >>> [(window.start, window.state, window.log_mel.shape) for window in framer.push(noise)]
        [(0, 'ok', (256, 64)), (16000, 'ok', (256, 64))]
    """

    def __init__(
        self,
        spec: ModelSpec,
        hop_s: float,
        sample_rate: int | None = None,
        channel: int | None = None,
        front_end: LogMel | None = None,
        on_note: Callable[[str], None] = warn,
    ) -> None:
        self._spec = spec
        self._front_end = front_end
        self._rate = spec.frontend.sample_rate
        self.hop_samples = 0
        self.set_hop(hop_s)
        chunk_rate = self._rate if sample_rate is None else sample_rate
        self._converter = Converter(chunk_rate, self._rate, channel, on_note)
        self._length = spec.clip_samples
        # the last samples lie in _recent[:_filled]; twice a window, so that they are seldom moved
        self._recent = np.zeros(2 * self._length, np.float32)
        self.level_dbfs = -math.inf
        self.reset()

    def reset(self) -> None:
        """Forget all samples; time starts again at zero."""
        self._converter.reset()
        self._filled = 0
        self._received = 0  # samples since the start of the stream, lost ones included
        self._next = 0  # where the next window starts
        self._last_end = 0  # where the last window ended
        self._gap_end = 0  # windows that start before this contain lost samples

    @property
    def elapsed_s(self) -> float:
        """Seconds of the stream so far, lost ones included."""
        return self._received / self._rate

    def set_hop(self, hop_s: float) -> None:
        """Change the time between windows from the next but one on."""
        if not (math.isfinite(hop_s) and round(hop_s * self._rate) >= 1):
            raise ConfigError(f"A hop of {hop_s} s is not a positive time: give one such as 0.25.")
        hop_samples = round(hop_s * self._rate)
        if hop_samples == self.hop_samples:
            return
        self.hop_samples = hop_samples
        self._log_mel = SlidingLogMel(
            self._spec.frontend, self._spec.clip_samples, self.hop_samples, self._front_end
        )

    def new_columns(self, window: FramedWindow) -> Array | None:
        """The log-mel columns that a window has beyond the one before it, for a picture that scrolls.

        The columns at the window's end, which read its padding, are left for the next window to bring.

        Returns:
            a copy, float32 [n_mels, columns]; None where the window has no log-mel.
        """
        if window.log_mel is None:
            return None
        hop_length, frames = self._spec.frontend.hop_length, window.log_mel.shape[1]
        count = min(max(1, round(self.hop_samples / hop_length)), frames)
        end = max(frames - math.ceil(self._spec.frontend.pad / hop_length), count)
        return window.log_mel[:, end - count : end].copy()

    def push(self, chunk: npt.NDArray[Any]) -> Iterator[FramedWindow]:
        """Take in the next samples, int16 or float [samples] or [samples, channels], of any length.

        Yields:
            the windows that end in them; all must be taken before the next call.

        Raises:
            TypeError: for samples of another dtype.
            AudioError: for samples or a layout that `Converter.push` refuses; the chunk is left out then.
        """
        return self._convert(self._converter.check(chunk))

    def _convert(self, checked: Checked) -> Iterator[FramedWindow]:
        """Take in a chunk once a window is asked for: until then a chunk of another stream may be refused."""
        yield from self._frame(self._converter.convert(checked))

    def finish(self) -> Iterator[FramedWindow]:
        """End the stream: what the resampler still holds, and a window for what lies after the last one.

        That window is aligned to the end (`runtime.audio.window_grid.is_tail` says when it is due). A stream
        shorter than a window is padded with zeros at its end. The stream starts anew afterwards.
        """
        yield from self._frame(self._converter.finish())
        rest = self._received - self._last_end
        if rest and (not self._last_end or is_tail(rest, self.hop_samples)):
            samples = self._recent[: self._filled][-self._length :]
            padded = np.pad(samples, (0, self._length - len(samples)))
            yield self._analyse(max(0, self._received - self._length), padded)
        self.reset()

    def gap(self, seconds: float) -> Iterator[FramedWindow]:
        """Note that samples were lost: time goes on, and every window that contains them is a ``gap``.

        Windows that lie wholly within the gap are left out.
        """
        yield from self._frame(self._converter.finish())
        lost = round(seconds * self._rate)
        begin, end = self._received, self._received + lost
        self._gap_end = end
        while self._next < begin and self._next + self._length <= end:
            yield self._advance(FramedWindow(self._next, self._next + self._length, "gap"))
        if self._next + self._length <= end:  # on to the first window that ends after the gap
            self._next += -(-(end + 1 - self._length - self._next) // self.hop_samples) * self.hop_samples
        self._append(np.zeros(min(lost, self._length), np.float32))
        self._received = end

    def _frame(self, samples: Array) -> Iterator[FramedWindow]:
        """Take in samples at the model's rate, up to the end of the next window, again and again."""
        while len(samples):
            due = self._next + self._length - self._received
            taken = samples[: min(due, self._length)]
            samples = samples[len(taken) :]
            self._append(taken)
            self._received += len(taken)
            if len(taken) == due:
                window = self._analyse(self._next, self._recent[: self._filled][-self._length :])
                yield self._advance(window)

    def _append(self, samples: Array) -> None:
        """Append to the recent samples; move the last window to the front when the buffer is full."""
        if self._filled + len(samples) > len(self._recent):
            self._recent[: self._length] = self._recent[self._filled - self._length : self._filled]
            self._filled = self._length
        self._recent[self._filled : self._filled + len(samples)] = samples
        self._filled += len(samples)

    def _advance(self, window: FramedWindow) -> FramedWindow:
        self._last_end = window.end
        self._next += self.hop_samples
        return window

    def _analyse(self, start: int, samples: Array) -> FramedWindow:
        """Decide whether a window holds something to classify; if so, compute its log-mel."""
        self.level_dbfs = level_dbfs(samples)
        end = min(start + self._length, self._received)
        if start < self._gap_end:
            return FramedWindow(start, end, "gap", self.level_dbfs)
        if self.level_dbfs < NO_SIGNAL_DBFS:
            return FramedWindow(start, end, "no_signal", self.level_dbfs)
        return FramedWindow(start, end, "ok", self.level_dbfs, self._log_mel(samples, start))
