"""How loud a stretch of audio is, and below which level it counts as silence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

# A window whose RMS without the mean lies below this holds nothing to classify. Dither, the digital padding
# of corpora and a muted line lie under it; the noise floor of an open microphone lies above.
NO_SIGNAL_DBFS = -70.0
_SMALL_MEAN = 0.01  # share of the power: to subtract so little costs no digits


def level_dbfs(samples: npt.NDArray[np.floating[Any]]) -> float:
    """RMS without the mean, in dB of full scale: 0 for a square wave of +-1, below -120 for a constant."""
    count = len(samples)
    power = float(np.dot(samples, samples)) / count
    mean = float(np.einsum("s->", samples)) / count  # coarser than np.sum, in half of its time
    if mean * mean < _SMALL_MEAN * power:
        power -= mean * mean
    else:  # the difference of two large numbers would lack digits
        centred = samples - np.add.reduce(samples) / count
        power = float(np.dot(centred, centred)) / count
    return 10 * math.log10(power) if power > 0 else -math.inf
