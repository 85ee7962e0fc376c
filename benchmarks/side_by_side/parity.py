"""Parity comes before speed: contestants of one network have to give the same answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.side_by_side.ways.contestant import ENTRIES

FP32_TOLERANCE = 0.02  # of a logit; log-mels of other libraries sum in another order
INT8_LABELS = 0.9  # share of windows with the float reference's label; INT8 schemes round differently
REFERENCE = "torch_eager"


def compare(logits: Mapping[str, list[list[float]]]) -> dict[str, dict[str, Any]]:
    """Compare each contestant's logits [windows][classes] with those of the float reference.

    Returns:
        by name: number of windows, share of equal labels, greatest difference of a logit, and whether the
        contestant passes: `FP32_TOLERANCE` and all labels, or `INT8_LABELS`.
    """
    expected = np.array(logits[REFERENCE])
    return {name: _of_one(np.array(rows), expected, name) for name, rows in logits.items()}


def _of_one(actual: npt.NDArray[Any], expected: npt.NDArray[Any], name: str) -> dict[str, Any]:
    equal = float((actual.argmax(1) == expected.argmax(1)).mean())
    difference = float(np.abs(actual - expected).max())
    float32 = ENTRIES[name].arithmetic == "FP32"
    passed = difference <= FP32_TOLERANCE and equal == 1 if float32 else equal >= INT8_LABELS
    return {
        "windows": len(expected),
        "labels_equal": round(equal, 4),
        "logit_difference": float(f"{difference:.3g}"),
        "passed": bool(passed),
    }
