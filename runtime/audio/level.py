"""How loud a stretch of audio is, and below which level it counts as silence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

# A window whose RMS without the mean lies below this holds nothing to classify. Dither, the digital padding
# of corpora and a muted line lie under it; the noise floor of an open microphone lies above.
NO_SIGNAL_DBFS = -70.0


def level_dbfs(samples: npt.NDArray[np.floating[Any]]) -> float:
    """RMS without the mean, in dB of full scale (a square wave of +-1 has 0); -inf for a constant."""
    # what np.mean computes, without its wrapper: once a hop, caches cold, that takes as long as the sum
    centred = samples - np.add.reduce(samples) / len(samples)
    power = float(np.dot(centred, centred)) / len(samples)
    return 10 * math.log10(power) if power > 0 else -math.inf
