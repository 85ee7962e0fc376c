"""Waveform to log-mel in numpy: the reference that every other front end is held against.

The window and the mel matrix are computed here in float64, once, and cast once; the torch twin
(`train.log_mel`) takes the same arrays. Every step treats each frame by itself, so a frame has the
same bits whether it is computed alone or among others: the streaming engine rests on that.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.audio.kernels import SparseRows, rfft
from runtime.errors import AudioError
from runtime.spec import FrontEndSpec

Array = npt.NDArray[np.float32]
Array64 = npt.NDArray[np.float64]

_CHUNK = 8  # frames; their spectra stay in a core's cache
_LANES = 4  # frames that the FFT transforms together
_LOUDEST = 1e9  # 180 dB above full scale; the power spectrum of 1e17 is beyond float32


def as_float(waveform: npt.NDArray[Any]) -> Array:
    """Bring samples to float32 in about [-1, 1]: the dtype decides, never the amplitude.

    Args:
        waveform: int16 (divided by 32768) or floating point (taken as it is), any shape.

    Raises:
        TypeError: for any other dtype, because its full scale is anyone's guess.
        AudioError: where a sample is NaN, infinite or beyond all measure.
    """
    if waveform.dtype == np.int16:
        return waveform.astype(np.float32) / np.float32(32768)
    if waveform.dtype.kind != "f":
        raise TypeError(f"Audio samples are int16 or float, not {waveform.dtype}: convert them first.")
    samples = waveform.astype(np.float32, copy=False)
    if not is_sound(samples):
        raise AudioError(
            "The audio holds samples that are NaN, infinite or beyond all measure: repair or re-record it."
        )
    return samples


def is_sound(samples: Array) -> bool:
    """Whether all samples are numbers whose powers are numbers, too; full scale is 1."""
    return bool(np.abs(samples).max(initial=0) <= _LOUDEST)  # not so for NaN


def analysis_window(spec: FrontEndSpec) -> Array64:
    """The window, float64 [win_length]."""
    points = spec.win_length if spec.window_periodic else spec.win_length - 1
    a0 = {"hann": 0.5, "hamming": 0.54}[spec.window]
    phase = 2 * np.pi * np.arange(spec.win_length) / max(points, 1)
    return a0 - (1 - a0) * np.cos(phase)


def mel_matrix(spec: FrontEndSpec) -> Array64:
    """The mel filter bank, float64 [n_mels, n_fft // 2 + 1]; mostly zeros.

    ``kaldi`` draws its triangles over the mel axis and leaves the Nyquist bin out (Povey et al., Kaldi,
    `mel-computations.cc`); ``htk`` and ``slaney`` draw them over Hz (Young et al., The HTK Book;
    Slaney, Auditory Toolbox, 1998).
    """
    return np.stack(list(_mel_bands(spec)))


def _mel_bands(spec: FrontEndSpec) -> Iterator[Array64]:
    """The rows of `mel_matrix` one by one: all of them at once take 20 MB to compute."""
    bins = np.arange(spec.n_fft // 2 + 1) * (spec.sample_rate / spec.n_fft)
    low, high = (float(_hz_to_mel(np.array(f), spec.mel_scale)) for f in (spec.f_min, spec.f_max))
    corners = np.linspace(low, high, spec.n_mels + 2)
    axis = _hz_to_mel(bins, "kaldi") if spec.mel_scale == "kaldi" else bins
    if spec.mel_scale != "kaldi":
        corners = _mel_to_hz(corners, spec.mel_scale)
    for left, centre, right in zip(corners[:-2], corners[1:-1], corners[2:], strict=True):
        rising, falling = (axis - left) / (centre - left), (right - axis) / (right - centre)
        band: Array64 = np.maximum(0, np.minimum(rising, falling))
        if spec.mel_scale == "kaldi":
            band[-1] = 0
        if spec.mel_norm == "slaney":
            band *= 2 / (right - left)
        yield band


def _hz_to_mel(hz: npt.NDArray[np.floating[Any]], scale: str) -> Array64:
    if scale == "kaldi":
        return np.asarray(1127 * np.log(1 + hz / 700))
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + hz / 700))
    log_step = np.log(6.4) / 27  # slaney: 200/3 Hz a mel up to 1 kHz, then logarithmic
    return np.where(hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1000) / 1000) / log_step)


def _mel_to_hz(mel: Array64, scale: str) -> Array64:
    if scale == "htk":
        return np.asarray(700 * (10 ** (mel / 2595) - 1))
    log_step = np.log(6.4) / 27
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(log_step * (np.maximum(mel, 15) - 15)))


@lru_cache(maxsize=8)
def shared_log_mel(spec: FrontEndSpec) -> LogMel:
    """The `LogMel` of a spec, built once for all streams: it costs several windows and keeps no state."""
    return LogMel(spec)


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
        self._mel = SparseRows(band.astype(np.float32) for band in _mel_bands(spec))
        # A shorter window sits in the middle of the FFT frame. Its place in the frame changes only the
        # phase, which the power spectrum drops, so just the samples under it are read.
        self.lead = (spec.n_fft - spec.win_length) // 2

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
        padded = self.pad(self.emphasize(waveform))
        segments = np.lib.stride_tricks.sliding_window_view(padded[self.lead :], self.spec.win_length)
        return self.columns(segments[:: self.spec.hop_length][:frames])

    def emphasize(self, waveform: Array) -> Array:
        """Pre-emphasis: [samples] -> [samples - 1], or the waveform itself where the spec has none."""
        if not self.spec.preemphasis:
            return waveform
        emphasized: Array = waveform[1:] - np.float32(self.spec.preemphasis) * waveform[:-1]
        return emphasized

    def pad(self, emphasized: Array) -> Array:
        """Centre padding of one clip: [samples] -> [samples + 2 * pad]."""
        if not self.spec.pad:
            return emphasized
        padded: Array = np.pad(emphasized, self.spec.pad, mode=self.spec.pad_mode)
        return padded

    def columns(self, *runs: Array) -> Array:
        """Log-mel columns of framed samples, each by itself: runs of [n, win_length] -> [n_mels, all n]."""
        log_mel = np.empty((self.spec.n_mels, sum(map(len, runs))), np.float32)
        done = 0
        for count in self._chunks(runs):
            log_mel[:, done : done + count] = (self._mel @ self._spectrum(count))[:, :count]
            done += count
        log_mel += np.float32(self.spec.log_offset)
        np.log(log_mel, out=log_mel)
        log_mel -= np.float32(self.spec.mean)
        log_mel /= np.float32(self.spec.std)
        return log_mel

    def _chunks(self, runs: Iterable[Array]) -> Iterator[int]:
        """Window the frames of all runs into the scratch, a chunk at a time; yields how many lie there."""
        framed, count = self._scratch.framed[:, : self.spec.win_length], 0
        for run in runs:
            while len(run):
                part, run = run[: _CHUNK - count], run[_CHUNK - count :]
                np.multiply(part, self._window, out=framed[count : count + len(part)])
                count += len(part)
                if count == _CHUNK:
                    yield count
                    count = 0
        if count:
            yield count

    def _spectrum(self, count: int) -> Array:
        """Power or magnitude of the frames in the scratch: [n_fft // 2 + 1, count or up to 3 more].

        A multiple of four rows is transformed, whatever lies in the last ones: left over, frames would go one
        by one, at half the speed. Each becomes a column, as the mel matrix takes it, until the next call.
        """
        count, bins = -(-count // _LANES) * _LANES, self.spec.n_fft // 2 + 1
        spectrum = self._scratch.spectrum[: bins * count]
        rfft(self._scratch.framed[:count], out=spectrum.reshape(bins, count).T)
        squares = spectrum.view(np.float32)  # real and imaginary parts in turn
        np.square(squares, out=squares)
        power = np.add(squares[::2], squares[1::2], out=self._scratch.power[: bins * count])
        if self.spec.power == 1.0:
            np.sqrt(power, out=power)
        return power.reshape(bins, count)


class _Scratch(threading.local):
    """What a chunk of frames is worked on in, one for each thread.

    Allocated anew, blocks of this size are given back to the system and fetched again page by page, which
    takes as long as the FFT.
    """

    def __init__(self, spec: FrontEndSpec) -> None:
        bins = spec.n_fft // 2 + 1
        self.framed = np.zeros((_CHUNK, spec.n_fft), np.float32)  # zero after the window, for good
        self.spectrum = np.empty(bins * _CHUNK, np.complex64)
        self.power = np.empty(bins * _CHUNK, np.float32)
