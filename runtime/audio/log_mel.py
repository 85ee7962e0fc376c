"""Waveform to log-mel in numpy: the reference for every other implementation of the front end.

Every step treats each frame by itself, so a frame has the same bits whether it is computed alone or among
others. Streaming relies on that.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from runtime.audio.kernels import SparseRows, Spectrum, rfft
from runtime.audio.mel_filter_bank import analysis_window, mel_filters
from runtime.audio.samples import Array
from runtime.spec import FrontEndSpec

CHUNK = 12  # frames; they and their spectra, 400 kB for 4,096 samples, stay in a core's cache
_LANES = 4  # frames that the FFT transforms together
_CACHE_LINE = 64  # bytes


@lru_cache(maxsize=8)
def shared_log_mel(spec: FrontEndSpec) -> LogMel:
    """The `LogMel` of a spec, built once for all streams: it costs several windows and keeps no state."""
    return LogMel(spec)


def top_range(spec: FrontEndSpec) -> float:
    """The ``top_db`` of a spec on the scale of its normalised natural logarithm."""
    return spec.top_db * math.log(10) / 10 / spec.std


def padded_value(spec: FrontEndSpec) -> float:
    """The normalised log-mel of the frames that ``fixed_frames`` adds: a logarithm of 0."""
    return (0 - spec.mean) / spec.std


class LogMel:
    """A front end built once and called often.

    Example:
        >>> log_mel = LogMel(FrontEndSpec.preset("cp_mel"))
        >>> log_mel(np.zeros(32000, np.float32)).shape
        (256, 64)
    """

    def __init__(self, spec: FrontEndSpec) -> None:
        self.spec = spec
        self._window = analysis_window(spec).astype(np.float32)
        self._scratch = _Scratch(spec)
        self._mel = SparseRows(band.astype(np.float32) for band in mel_filters(spec))
        # A shorter window sits in the middle of the frame. Its place in the frame changes only the phase,
        # which the power spectrum drops, so just the samples under it are read.
        self.lead = (spec.frame_samples - spec.win_length) // 2

    def __call__(self, waveform: Array) -> Array:
        """Compute the log-mel of a whole waveform.

        Args:
            waveform: float32 [samples] at the spec's sample rate.

        Returns:
            float32 [n_mels, frames].

        Raises:
            ConfigError: where the waveform is too short for one frame.
        """
        frames = self.spec.frames(len(waveform))
        if self.spec.clip_mean:
            waveform = waveform - np.float32(waveform.mean(dtype=np.float64))
        padded = self.pad(self.emphasize(waveform))
        segments = np.lib.stride_tricks.sliding_window_view(padded[self.lead :], self.spec.win_length)
        return self._of_whole_clip(self.columns(segments[:: self.spec.hop_length][:frames]), frames)

    def emphasize(self, waveform: Array, out: Array | None = None) -> Array:
        """Pre-emphasis: [samples] -> [samples - 1]; the waveform itself where it has none as a whole.

        Args:
            waveform: float32 [samples].
            out: written to and returned, where it is given.
        """
        if not self.spec.preemphasis or self.spec.framing == "kaldi":
            if out is None:
                return waveform
            out[:] = waveform
            return out
        scaled = np.multiply(waveform[:-1], np.float32(self.spec.preemphasis), out=out)
        emphasized: Array = np.subtract(waveform[1:], scaled, out=scaled)
        return emphasized

    def pad(self, emphasized: Array) -> Array:
        """Centre padding of one clip: [samples] -> [samples + 2 * pad]."""
        if not self.spec.pad:
            return emphasized
        padded: Array = np.pad(emphasized, self.spec.pad, mode=self.spec.pad_mode)
        return padded

    def columns(self, *runs: Array, out: Array | None = None) -> Array:
        """Log-mel columns of framed samples, each by itself: runs of [n, win_length] -> [n_mels, all n].

        Args:
            runs: framed samples.
            out: written to and returned, where it is given.
        """
        log_mel = np.empty((self.spec.n_mels, sum(map(len, runs))), np.float32) if out is None else out
        done = 0
        for count in self._chunks(runs):
            self._write_mel(count, log_mel[:, done : done + count])
            done += count
        combine = np.maximum if self.spec.log_mode == "floor" else np.add
        combine(log_mel, np.float32(self.spec.log_offset), out=log_mel)
        np.log(log_mel, out=log_mel)
        log_mel -= np.float32(self.spec.mean)
        log_mel /= np.float32(self.spec.std)
        return log_mel

    def _of_whole_clip(self, log_mel: Array, frames: int) -> Array:
        """The steps that need all frames of a clip: the floor below its maximum, then a fixed length."""
        if self.spec.top_db:
            np.maximum(log_mel, log_mel.max() - np.float32(top_range(self.spec)), out=log_mel)
        computed = log_mel.shape[1]
        if computed == frames:
            return log_mel
        filled = np.full((len(log_mel), frames), padded_value(self.spec), np.float32)
        filled[:, :computed] = log_mel
        return filled

    def _emphasize_frames(self, frames: Array) -> Array:
        """Kaldi's mean and pre-emphasis of every frame by itself: [n, win_length] -> the same shape."""
        centred: Array = frames - frames.mean(axis=1, keepdims=True, dtype=np.float32)
        before = np.empty_like(centred)
        before[:, 0], before[:, 1:] = centred[:, 0], centred[:, :-1]
        return centred - np.float32(self.spec.preemphasis) * before

    def _chunks(self, runs: Iterable[Array]) -> Iterator[int]:
        """Window the frames of all runs into the scratch, a chunk at a time; yields how many lie there."""
        framed, count = self._scratch.framed[:, : self.spec.win_length], 0
        for run in runs:
            while len(run):
                part, run = run[: CHUNK - count], run[CHUNK - count :]
                if self.spec.framing == "kaldi":
                    part = self._emphasize_frames(part)
                np.multiply(part, self._window, out=framed[count : count + len(part)])
                count += len(part)
                if count == CHUNK:
                    yield count
                    count = 0
        if count:
            yield count

    def _write_mel(self, count: int, out: Array) -> None:
        """Mel bands of the frames in the scratch: [n_mels, count].

        The mel product takes the squares of real and imaginary parts side by side, and the sums of both are
        added at the end: adding them bin by bin before it takes more time than it saves.
        """
        squares = self._squares(count)
        if self.spec.power == 1.0:
            magnitude = np.sqrt(squares[:, ::2] + squares[:, 1::2])
            out[:] = (self._mel @ magnitude)[:, :count]
        else:
            bands = self._mel @ squares
            np.add(bands[:, : 2 * count : 2], bands[:, 1 : 2 * count : 2], out=out)

    def _squares(self, count: int) -> Array:
        """Squared spectra of the frames in the scratch: [n_fft // 2 + 1, twice count or up to 3 frames more].

        A multiple of four rows is transformed, whatever lies in the last ones: left over, frames would go one
        by one, at half the speed. Each becomes two columns, real and imaginary, as the mel matrix takes them,
        until the next call.
        """
        frames, spectra, squares = self._scratch.views(-(-count // _LANES) * _LANES)
        rfft(frames, out=spectra)
        np.square(squares, out=squares)
        return squares


class _Scratch(threading.local):
    """What a chunk of frames is worked on in, one for each thread.

    Allocated anew, blocks of this size are given back to the system and fetched again page by page, which
    takes as long as the FFT.
    """

    def __init__(self, spec: FrontEndSpec) -> None:
        self._bins = spec.n_fft // 2 + 1
        self.framed = _aligned_zeros(CHUNK * spec.n_fft * 4).view(np.float32).reshape(CHUNK, spec.n_fft)
        self._spectrum = _aligned_zeros(self._bins * CHUNK * 8).view(np.complex64)
        self._views: dict[int, tuple[Array, Spectrum, Array]] = {}

    def views(self, count: int) -> tuple[Array, Spectrum, Array]:
        """The first ``count`` frames, their spectra [count, bins], and these as floats [bins, 2 * count]."""
        if count not in self._views:
            spectrum = self._spectrum[: self._bins * count].reshape(self._bins, count)
            self._views[count] = self.framed[:count], spectrum.T, spectrum.view(np.float32)
        return self._views[count]


def _aligned_zeros(size: int) -> npt.NDArray[np.uint8]:
    """Bytes that start with a cache line, which those of numpy need not: the log-mel takes 2 % less time."""
    raw = np.zeros(size + _CACHE_LINE, np.uint8)
    begin = -raw.ctypes.data % _CACHE_LINE
    return raw[begin : begin + size]
