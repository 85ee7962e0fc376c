"""Where the windows of a recording lie and which of them are silent: one rule for training and runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Below this a window holds no signal. Dither and the digital padding of corpora lie under -75 dBFS,
# the noise floor of a cheap open microphone above -65 dBFS.
SILENCE_DBFS = -70.0


def window_starts(samples: int, window: int, hop: int) -> list[int]:
    """First samples of the windows that cover a recording.

    Windows begin every ``hop`` samples. Where at least half a hop remains after the last of them, one more
    window ends with the recording. A recording shorter than one window is one window (padded by its user).

    Args:
        samples: length of the recording.
        window: length of a window.
        hop: samples from one window to the next.
    """
    if samples <= window:
        return [0] if samples else []
    starts = list(range(0, samples - window + 1, hop))
    if samples - window - starts[-1] >= hop / 2:
        starts.append(samples - window)
    return starts


def is_silent(window: npt.NDArray[np.floating[Any]]) -> bool:
    """Whether the level of a window (RMS without its mean) is under `SILENCE_DBFS`.

    Args:
        window: samples in [-1, 1].
    """
    return bool(np.std(window, dtype=np.float64) < 10 ** (SILENCE_DBFS / 20))
