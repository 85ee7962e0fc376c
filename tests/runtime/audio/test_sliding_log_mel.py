"""The sliding front end has the bits of the whole-clip one, for every kind of front end and hop."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from runtime.audio.log_mel import LogMel, shared_log_mel
from runtime.audio.sliding_log_mel import SlidingLogMel
from runtime.spec import FrontEndSpec

CP_MEL = FrontEndSpec.preset("cp_mel")
SMALL = dataclasses.replace(
    CP_MEL, sample_rate=16_000, n_fft=512, win_length=400, hop_length=160, n_mels=40, f_max=8000.0
)
SPECS = {
    "cp_mel": CP_MEL,
    "baseline_mel": FrontEndSpec.preset("baseline_mel"),
    "small": SMALL,
    "zeros outside": dataclasses.replace(SMALL, pad_mode="constant", preemphasis=0.0),
    "not centred": dataclasses.replace(SMALL, center=False, power=1.0),
    "mirrors more than it sees": dataclasses.replace(SMALL, win_length=401, hop_length=300),
    "full window": dataclasses.replace(SMALL, win_length=512, mel_scale="slaney", mel_norm="slaney"),
    "frames by themselves": FrontEndSpec.preset("beats_fbank"),
    "floor below the maximum": FrontEndSpec.preset("ced_mel"),
    "mean of the clip, fixed length": FrontEndSpec.preset("ast_fbank"),
}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("frames", [1, 7, 25, 57, 64, 130])
def test_windows_that_overlap(name: str, frames: int) -> None:
    spec = SPECS[name]
    length, hop = spec.sample_rate, frames * spec.hop_length
    noise = np.random.default_rng(frames).normal(size=length + 4 * hop).astype(np.float32)
    whole, sliding = LogMel(spec), SlidingLogMel(spec, length, hop)
    for start in range(0, 4 * hop + 1, hop):
        window = noise[start : start + length]
        assert np.array_equal(sliding(window, start), whole(window))


def test_windows_that_do_not_follow_each_other() -> None:
    noise = np.random.default_rng(0).normal(size=120_000).astype(np.float32)
    whole, sliding = LogMel(CP_MEL), SlidingLogMel(CP_MEL, 32_000, 4000)
    for start in (0, 4000, 12_000, 16_000, 16_000, 8000, 87_999, 88_000):  # forth, twice, back, off the grid
        window = noise[start : start + 32_000]
        assert np.array_equal(sliding(window, start), whole(window))


def test_a_hop_off_the_frame_grid() -> None:
    noise = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    with pytest.warns(UserWarning, match="computed in full"):
        sliding = SlidingLogMel(CP_MEL, 32_000, 4001)
    for start in (0, 4001, 8002):
        window = noise[start : start + 32_000]
        assert np.array_equal(sliding(window, start), LogMel(CP_MEL)(window))


def test_equal_front_ends_share_one_filter_bank() -> None:
    assert shared_log_mel(CP_MEL) is shared_log_mel(dataclasses.replace(CP_MEL))
    assert shared_log_mel(CP_MEL) is not shared_log_mel(SMALL)
