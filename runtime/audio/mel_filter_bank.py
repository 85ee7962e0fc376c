"""The analysis window and the mel filter bank of a front end: float64, computed once, for numpy and torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.spec import FrontEndSpec

Array64 = npt.NDArray[np.float64]


def analysis_window(spec: FrontEndSpec) -> Array64:
    """The window, float64 [win_length]."""
    points = spec.win_length if spec.window_periodic else spec.win_length - 1
    a0 = {"hann": 0.5, "hamming": 0.54, "povey": 0.5}[spec.window]
    phase = 2 * np.pi * np.arange(spec.win_length) / max(points, 1)
    window: Array64 = a0 - (1 - a0) * np.cos(phase)
    return window**0.85 if spec.window == "povey" else window


def mel_filter_bank(spec: FrontEndSpec) -> Array64:
    """The mel filter bank, float64 [n_mels, n_fft // 2 + 1]; mostly zeros.

    ``kaldi`` draws its triangles over the mel axis and leaves the Nyquist bin out (Povey et al., Kaldi,
    `mel-computations.cc`); ``htk`` and ``slaney`` draw them over Hz (Young et al., The HTK Book;
    Slaney, Auditory Toolbox, 1998).
    """
    return np.stack(list(mel_filters(spec)))


def mel_filters(spec: FrontEndSpec) -> Iterator[Array64]:
    """The filters of `mel_filter_bank` one by one, float64 [n_fft // 2 + 1]; all at once they take 20 MB."""
    bins = np.arange(spec.n_fft // 2 + 1) * (spec.sample_rate / spec.n_fft)
    low, high = (float(_hz_to_mel(np.array(f), spec.mel_scale)) for f in (spec.f_min, spec.f_max))
    corners = np.linspace(low, high, spec.n_mels + 2)
    axis = _hz_to_mel(bins, "kaldi") if spec.mel_scale == "kaldi" else bins
    if spec.mel_scale != "kaldi":
        corners = _mel_to_hz(corners, spec.mel_scale)
    for left, centre, right in zip(corners[:-2], corners[1:-1], corners[2:], strict=True):
        rising, falling = (axis - left) / (centre - left), (right - axis) / (right - centre)
        weights: Array64 = np.maximum(0, np.minimum(rising, falling))
        if spec.mel_scale == "kaldi":
            weights[-1] = 0
        if spec.mel_norm == "slaney":
            weights *= 2 / (right - left)
        yield weights


def band_place(spec: FrontEndSpec, hz: float) -> float:
    """Where a frequency lies on the mel axis of a front end: 0 at ``f_min``, 1 at ``f_max``."""
    low, place, high = (float(_hz_to_mel(np.array(f), spec.mel_scale)) for f in (spec.f_min, hz, spec.f_max))
    return (place - low) / (high - low)


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
