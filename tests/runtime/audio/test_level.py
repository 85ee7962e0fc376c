"""Level of a window: RMS without the mean."""

import math

import numpy as np
import pytest

from runtime.audio.level import level_dbfs


@pytest.mark.parametrize("offset", [0.0, 0.001, 0.009, 0.011, 0.5])
@pytest.mark.parametrize("rms", [1e-4, 0.1])
def test_it_is_that_of_float64_with_any_offset(offset: float, rms: float) -> None:
    noise = np.random.default_rng(0).normal(offset, rms, 320_000).astype(np.float32)
    assert level_dbfs(noise) == pytest.approx(20 * math.log10(np.std(noise.astype(np.float64))), abs=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.25, 1 / 3, 0.99])
def test_a_constant_has_no_level(value: float) -> None:
    assert level_dbfs(np.full(320_000, value, np.float32)) < -120


def test_full_scale_is_a_square_wave() -> None:
    assert level_dbfs(np.tile(np.array([1, -1], np.float32), 500)) == 0


def test_its_place_in_memory_does_not_change_it() -> None:
    samples = np.random.default_rng(0).normal(0.001, 0.1, 1000).astype(np.float32)
    levels = set()
    for place in range(16):
        memory = np.zeros(1016, np.float32)
        memory[place : place + 1000] = samples
        levels.add(level_dbfs(memory[place : place + 1000]))
    assert len(levels) == 1
