"""The constants of a front end in float32, as C text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from export.c.c_text import exported_array
from runtime.audio.mel_filter_bank import analysis_window, mel_filters
from runtime.errors import ModelFileError
from runtime.spec import FrontEndSpec

_GROUP = 4  # bins of a band that are summed side by side
_LEAST_FFT = 32


def check_front_end(spec: FrontEndSpec) -> None:
    """Refuse a front end that the C code lacks.

    Raises:
        ModelFileError: it names the field.
    """
    lacks = {
        f"framing {spec.framing}": spec.framing != "stft",
        f"power {spec.power:g}": spec.power not in (1.0, 2.0),
        "clip_mean": spec.clip_mean,
        "top_db": bool(spec.top_db),
        "fixed_frames": bool(spec.fixed_frames),
        f"n_fft {spec.n_fft}": spec.n_fft < _LEAST_FFT or spec.n_fft & (spec.n_fft - 1) != 0,
    }
    for name, is_lacking in lacks.items():
        if is_lacking:
            raise ModelFileError(
                f"The C front end has no {name}: train with a front end such as cp_mel, whose frames are "
                "spectra of 2^k samples."
            )


def float_source(spec: FrontEndSpec) -> str:
    """The file ``model_front_end.c``."""
    points = spec.n_fft // 2
    turns = {"twiddle": (points // 4, points), "split": (points // 2, spec.n_fft)}
    parts = ['/* Written by `python -m export c`. */\n#include "ts_front_end.h"\n']
    parts.append(exported_array("model_window", analysis_window(spec).astype(np.float32) / 2))
    for name, (count, of) in turns.items():
        angle = 2 * np.pi * np.arange(count) / of
        values = np.concatenate([np.cos(angle), -np.sin(angle)]).astype(np.float32)
        parts.append(exported_array(f"model_{name}", values))
    first, groups, weights = _bands(spec)
    for name, table in (("mel_first", first), ("mel_groups", groups), ("mel_weight", weights)):
        parts.append(exported_array(f"model_{name}", table))
    return "\n".join(parts)


def _bands(spec: FrontEndSpec) -> tuple[npt.NDArray[np.uint16], ...]:
    """First bin, groups of bins and padded weights of the mel bands."""
    first, groups, weights = [], [], []
    last = spec.n_fft // 2 + 1 - _GROUP  # a group that begins after it would read past the spectrum
    for band in mel_filters(spec):
        bins = np.flatnonzero(band.astype(np.float32))
        begin, end = (int(bins[0]), int(bins[-1]) + 1) if len(bins) else (0, 0)
        count = -(-(end - begin) // _GROUP)
        begin = max(0, min(begin, last + _GROUP - _GROUP * count))
        padded = np.zeros(_GROUP * count, np.float32)
        inside = band[begin : begin + _GROUP * count].astype(np.float32)
        padded[: len(inside)] = inside
        first.append(begin)
        groups.append(count)
        weights.append(padded)
    return np.array(first, np.uint16), np.array(groups, np.uint16), np.concatenate(weights)
