"""What counts as audio samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.audio.samples import MAX_PEAK, as_float, check_layout, to_int16
from runtime.errors import AudioError


def test_the_dtype_decides_the_scale() -> None:
    assert as_float(np.array([-32768, 16384], np.int16)).tolist() == [-1.0, 0.5]
    for dtype in (np.float16, np.float32, np.float64):
        assert as_float(np.array([0.5, -2.0], dtype)).tolist() == [0.5, -2.0]
    for dtype in (np.int8, np.uint8, np.int32, np.int64, bool, complex):
        with pytest.raises(TypeError, match=np.dtype(dtype).name):
            as_float(np.zeros(3, dtype))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_not_a_number_is_refused(value: float) -> None:
    with pytest.raises(AudioError, match="NaN or infinite"):
        as_float(np.array([0.1, value, 0.1]))


@pytest.mark.parametrize("sign", [1, -1])
def test_floats_in_the_range_of_integers_are_refused(sign: int) -> None:
    assert as_float(np.array([sign * MAX_PEAK])).tolist() == [sign * MAX_PEAK]
    with pytest.raises(AudioError, match="32768"):
        as_float(np.array([0.0, sign * 12_345.0]))


@given(st.integers(-32768, 32767))
def test_int16_comes_back(step: int) -> None:
    assert to_int16(as_float(np.array([step], np.int16))).tolist() == [step]


def test_rounding_clips() -> None:
    assert to_int16(np.array([1.5, -1.5, 0.4 / 32768], np.float32)).tolist() == [32767, -32768, 0]


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((5,), 1), ((5, 1), 1), ((1, 2), 2), ((1, 8), 8), ((64, 64), 64), ((9, 9), 9), ((2, 8), 8)],
)
def test_layouts(shape: tuple[int, ...], channels: int) -> None:
    assert check_layout(shape) == channels


@pytest.mark.parametrize("shape", [(), (1, 9), (2, 160_000), (64, 65), (100_000, 65), (5, 0), (2, 2, 2)])
def test_layouts_that_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(AudioError, match=r"\[samples, channels\]"):
        check_layout(shape)
