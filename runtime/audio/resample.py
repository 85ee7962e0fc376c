"""Resampling with soxr (high quality), chunk by chunk or at once, with the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from runtime.audio.samples import Array


class Resampler:
    """A resampler that remembers what its filter needs from one chunk to the next.

    Args:
        sample_rate: of the chunks, Hz.
        target_rate: of what is returned, Hz; the chunks are passed on where both are equal.
        channels: of chunks [samples, channels]; None for chunks [samples].

    Example:
        >>> resampler = Resampler(44_100, 32_000)
        >>> len(resampler.push(np.zeros(44_100, np.float32))) + len(resampler.finish())
        32000
    """

    def __init__(self, sample_rate: int, target_rate: int, channels: int | None = None) -> None:
        self._rates, self._channels = (sample_rate, target_rate), channels
        self._stream: Any = None  # of soxr, made when the first chunk comes

    def reset(self) -> None:
        """Forget all chunks."""
        self._stream = None

    def push(self, chunk: Array) -> Array:
        """Resample the next samples, float32 [samples] or [samples, channels]."""
        if self._rates[0] == self._rates[1]:
            return chunk
        if self._stream is None:
            import soxr  # only here: a microphone at the model's rate starts 0.1 s sooner without it

            self._stream = soxr.ResampleStream(*self._rates, self._channels or 1, "float32", "HQ")
        resampled: Array = self._stream.resample_chunk(np.ascontiguousarray(chunk))
        return resampled

    def finish(self) -> Array:
        """What the filter still holds; the state is that of a new resampler afterwards."""
        rest: Array = np.empty((0,) if self._channels is None else (0, self._channels), np.float32)
        if self._stream is not None:
            rest = self._stream.resample_chunk(rest, last=True)
            self._stream = None
        return rest


def resample(waveform: Array, sample_rate: int, target_rate: int) -> Array:
    """Resample a whole waveform, float32 [samples] or [samples, channels]."""
    resampler = Resampler(sample_rate, target_rate, None if waveform.ndim == 1 else waveform.shape[1])
    return np.concatenate([resampler.push(waveform), resampler.finish()])
