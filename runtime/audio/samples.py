"""What counts as audio samples: dtype, scale, layout, and the limits of rate and channel count."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.errors import AudioError
from runtime.spec import MAX_RATE

Array = npt.NDArray[np.float32]

RATES = range(1_000, MAX_RATE + 1)  # Hz; a rate beyond them comes from a damaged header or a slip
MAX_CHANNELS = 64
# +18 dB over full scale: more than a float recording clips by. Every recording in int16's range that is not
# silent (`NO_SIGNAL_DBFS` is an RMS of 10 of its steps) has a higher peak.
MAX_PEAK = 8.0
_LIKELY_CHANNELS = 8  # a first chunk with fewer samples than channels may have so many and no more


def as_float(waveform: npt.NDArray[Any]) -> Array:
    """Bring samples to float32 in about [-1, 1]: the dtype decides the scale, never the amplitude.

    Args:
        waveform: int16 (divided by 32768) or floating point (taken as it is), any shape.

    Raises:
        TypeError: for any other dtype, whose full scale is not defined here.
        AudioError: see `check_amplitude`.
    """
    if waveform.dtype == np.int16:
        return waveform.astype(np.float32) / np.float32(32768)
    if waveform.dtype.kind != "f":
        raise TypeError(f"Audio samples are int16 or float, not {waveform.dtype}: convert them first.")
    samples = waveform
    if waveform.dtype != np.float32:
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, which is refused next
            samples = waveform.astype(np.float32)
    check_amplitude(samples)
    return samples


def to_int16(samples: Array) -> npt.NDArray[np.int16]:
    """Round float samples to int16 and clip what lies beyond full scale.

    The rounding adds noise of 1/sqrt(12) of a step, -101 dBFS, which the logarithm shows in quiet bands:
    `train.data.datasets.packed` says by how much.
    """
    steps: Array = np.clip(np.rint(samples * np.float32(32768)), -32768, 32767)
    return steps.astype(np.int16)


def check_amplitude(samples: Array, name: str = "The audio") -> None:
    """Refuse float samples that cannot be audio with full scale at 1.

    Args:
        samples: float32, any shape.
        name: of the file or stream, for the message.

    Raises:
        AudioError: where a sample is NaN or infinite, or the peak is above `MAX_PEAK`, as in samples that
            were converted from integers to float without dividing by their full scale.
    """
    # what samples.max and min compute, without their wrappers; NaN where a sample is NaN
    peak = max(
        float(np.maximum.reduce(samples, axis=None, initial=0)),
        -float(np.minimum.reduce(samples, axis=None, initial=0)),
    )
    if peak <= MAX_PEAK:
        return
    if not np.isfinite(samples).all():
        raise AudioError(f"{name} holds samples that are NaN or infinite: repair or re-record it.")
    raise AudioError(
        f"{name} has float samples of up to {peak:,.0f} where full scale is 1: divide samples in the "
        "range of int16 by 32768, or save them as 16-bit PCM."
    )


def check_layout(shape: tuple[int, ...]) -> int:
    """The channel count of a first chunk, or of a whole waveform.

    Args:
        shape: [samples] or [samples, channels].

    Raises:
        AudioError: for another number of axes, more than `MAX_CHANNELS` channels, or more channels than
            samples, which is what [channels, samples] looks like. Up to 8 channels are taken all the same:
            a first chunk may be as short as one sample.
    """
    if len(shape) == 1:
        return 1
    if len(shape) == 2 and 1 <= shape[1] <= MAX_CHANNELS and shape[1] <= max(shape[0], _LIKELY_CHANNELS):
        return shape[1]
    raise AudioError(
        f"Audio has the shape [samples] or [samples, channels] with at most {MAX_CHANNELS} channels, not "
        f"{list(shape)}: transpose an array that is [channels, samples]."
    )
