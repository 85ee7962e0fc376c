"""The constants of a front end in fixed point, as C text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from export.c.c_text import exported_array
from export.c.front_end.fixed import FixedFrontEnd


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
