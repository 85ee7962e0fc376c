"""The constants of a front end in fixed point, as C text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from export.c import reference
from export.c.c_text import exported_array
from export.c.front_end.fixed import FixedFrontEnd
from export.c.operators import Network
from runtime.spec import ModelSpec

_QUARTERS = 4  # of a window, each quieter than the one before


def fixed_source(front_end: FixedFrontEnd) -> str:
    """The file ``model_front_end.c``."""
    weights = [band for _, band in front_end.bands]
    tables: dict[str, npt.NDArray[Any]] = {
        "model_window": front_end.window.astype(np.int32),
        "model_cosine": front_end.cosine.astype(np.int32),
        "model_mel_first": np.array([first for first, _ in front_end.bands], np.uint16),
        "model_mel_count": np.array([len(band) for band in weights], np.uint16),
        "model_mel_weight": np.concatenate(weights).astype(np.uint16),
        "model_log2": front_end.log_table.astype(np.int32),
    }
    head = '/* Written by `python -m export c`. */\n#include "ts_front_end.h"\n\n'
    return head + "\n".join(exported_array(name, table) for name, table in tables.items())


def fixed_values(front_end: FixedFrontEnd) -> dict[str, str]:
    """Macros of ``model_config.h`` that only the front end in fixed point has."""
    return {
        "PREEMPHASIS_Q15": str(front_end.preemphasis),
        "GREATEST_SHIFT": str(front_end.greatest_shift),
        "FIXED_OFFSET": f"INT64_C({front_end.offset})",
        "LOG_MULTIPLIER": str(int(front_end.factor.multiplier[0])),
        "LOG_SHIFT": str(int(front_end.factor.shift[0])),
        "LOG_CONSTANT": f"INT64_C({front_end.constant})",
    }


def fixed_self_test(front_end: FixedFrontEnd, spec: ModelSpec, network: Network) -> str:
    """What numpy gives for noise, for ``ts_self_test.h``: a column of the log-mel, and a window's logits."""
    raised = front_end.emphasize(fading_noise(spec.clip_samples))
    column = front_end.columns(raised[None, : spec.frontend.win_length])[0]
    window = front_end(fading_noise(spec.clip_samples)).astype(np.int64)[None, :, :, None]
    logits = reference.run(network, window)[network.logits.name].ravel().astype(np.uint8)
    column_text = exported_array("model_self_test_column", column)
    return column_text + "\n" + exported_array("model_self_test_window", logits)


def fading_noise(count: int) -> npt.NDArray[np.int16]:
    """The noise of ``ts_self_test.h``: 16 bits, and 6, 12 and 18 dB less in the next quarters of a window."""
    state, words = 1, np.empty(count, np.int64)
    for i in range(count):
        state = (1664525 * state + 1013904223) % 2**32
        words[i] = state >> 16
    shift = np.arange(count) * _QUARTERS // count
    return words.astype(np.uint16).view(np.int16) >> shift.astype(np.int16)
