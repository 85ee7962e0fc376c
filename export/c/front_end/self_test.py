"""What numpy gives for noise, for the self-test of the front end and the stream: ``ts_self_test.h``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from export.c import reference
from export.c.c_text import exported_array
from export.c.fixed_point import Integers
from export.c.front_end.fixed import FixedFrontEnd
from export.c.operators import Network
from runtime.audio.log_mel import LogMel
from runtime.audio.samples import as_float
from runtime.spec import ModelSpec

_NEAR = np.float32(1e-5)  # more than the log-mel of C differs from numpy's: inputs near a tie are rounded so
_QUARTERS = 4  # of a window, each quieter than the one before


def front_end_self_test(spec: ModelSpec, network: Network, fixed: FixedFrontEnd | None) -> str:
    """A column of the log-mel of noise, the integers of a window's logits, and their tolerance, as C text.

    Args:
        spec: of the model.
        network: its integers.
        fixed: the front end in fixed point, whose numbers are exact; float32 where None.
    """
    noise = fading_noise(spec.clip_samples)
    column, windows = _in_float(spec, network, noise) if fixed is None else _in_integers(fixed, noise)
    logits = reference.run(network, windows)[network.logits.name].reshape(len(windows), -1)
    tolerance = 0 if fixed is not None else 1 + int(np.abs(logits - logits[0]).max())
    tables = {
        "model_self_test_column": column,
        "model_self_test_window": logits[0].astype(np.uint8),
        "model_self_test_steps": np.array([tolerance], np.uint8),
    }
    return "\n".join(exported_array(name, table) for name, table in tables.items())


def _in_integers(
    front_end: FixedFrontEnd, noise: npt.NDArray[np.int16]
) -> tuple[npt.NDArray[np.uint8], Integers]:
    frame = front_end.emphasize(noise)[None, : front_end.spec.win_length]
    return front_end.columns(frame)[0], front_end(noise).astype(np.int64)[None, :, :, None]


def _in_float(
    spec: ModelSpec, network: Network, noise: npt.NDArray[np.int16]
) -> tuple[npt.NDArray[np.float32], Integers]:
    front_end, waveform = LogMel(spec.frontend), as_float(noise)
    frame = front_end.emphasize(waveform)[None, : spec.frontend.win_length]
    column = front_end.columns(frame)[:, 0].astype(np.float32)
    log_mel = front_end(waveform)[None, None]
    near = np.concatenate([log_mel, log_mel - _NEAR, log_mel + _NEAR])
    return column, reference.quantize(network.log_mel, near)


def fading_noise(count: int) -> npt.NDArray[np.int16]:
    """The noise of ``ts_self_test.h``: 16 bits, and 6, 12 and 18 dB less in the next quarters of a window."""
    state, words = 1, np.empty(count, np.int64)
    for i in range(count):
        state = (1664525 * state + 1013904223) % 2**32
        words[i] = state >> 16
    shift = np.arange(count) * _QUARTERS // count
    return words.astype(np.uint16).view(np.int16) >> shift.astype(np.int16)
