"""Where the windows of a recording lie and which are silent: one rule for training and for listening."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

# A window whose RMS, its mean taken off, lies below this holds nothing to tell. Dither, the digital padding
# of corpora and a muted line lie under it; the noise floor of an open microphone lies above.
NO_SIGNAL_DBFS = -70.0


def level_dbfs(samples: npt.NDArray[np.floating[Any]]) -> float:
    """RMS without the mean, in dB of full scale (a square wave of +-1 has 0); -inf for a constant."""
    # what np.mean computes, without its wrapper: once a hop, caches cold, that takes as long as the sum
    centred = samples - np.add.reduce(samples) / len(samples)
    power = float(np.dot(centred, centred)) / len(samples)
    return 10 * math.log10(power) if power > 0 else -math.inf


def is_tail(rest: int, hop: int) -> bool:
    """Whether samples after the last whole window deserve one more, aligned to the recording's end.

    At least half a hop does. Less would repeat almost all of the last window: a file of 5.001 s has five
    windows of a second, not six.

    Args:
        rest: samples after the end of the last window.
        hop: samples from one window to the next.
    """
    return 2 * rest >= hop


def window_starts(samples: int, window: int, hop: int) -> list[int]:
    """First samples of the windows that a stream cuts from a recording.

    A recording shorter than one window is one window, padded with zeros at its end.

    Args:
        samples: length of the recording.
        window: length of a window.
        hop: samples from one window to the next.
    """
    if samples <= window:
        return [0] if samples else []
    starts = list(range(0, samples - window + 1, hop))
    if is_tail(samples - window - starts[-1], hop):
        starts.append(samples - window)
    return starts
