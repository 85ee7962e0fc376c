"""One resampler: chunk by chunk or at once, one channel or many."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from runtime.audio.resample import Resampler, resample

NOISE = np.random.default_rng(0).normal(size=(20_000, 3)).astype(np.float32)


@pytest.mark.parametrize("rates", [(44_100, 32_000), (8_000, 32_000), (192_000, 16_000)])
def test_it_is_soxr_at_high_quality(rates: tuple[int, int]) -> None:
    assert np.array_equal(resample(NOISE, *rates), soxr.resample(NOISE, *rates, quality="HQ"))
    for channel in range(3):
        assert np.array_equal(resample(NOISE[:, channel], *rates), resample(NOISE, *rates)[:, channel])
    assert np.array_equal(resample(NOISE[:, :1], *rates)[:, 0], resample(NOISE[:, 0], *rates))


def test_it_starts_anew_after_its_end() -> None:
    resampler = Resampler(44_100, 32_000)
    first, second = (np.concatenate([resampler.push(NOISE[:, 0]), resampler.finish()]) for _ in range(2))
    assert np.array_equal(first, second)
    resampler.push(NOISE[:, 1])
    resampler.reset()
    assert np.array_equal(np.concatenate([resampler.push(NOISE[:, 0]), resampler.finish()]), first)
