"""The float front end with other lengths: all kinds of kernels to the bit, and the log-mel of numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from export.c.front_end.stream import StreamSizes
from runtime import load_model
from runtime.audio.log_mel import LogMel
from runtime.errors import ModelFileError
from runtime.model.native_session import NativeSession
from runtime.spec import FrontEndSpec, ModelSpec
from tests.export.c.conftest import compile_library, kinds_of, push
from tests.export.c.test_operators import write_random_network
from tests.small_students import FRONTEND

# n_fft, win_length: of every number of radix-4 stages, and windows that end inside a vector or a quarter
SIZES = [(32, 32), (64, 50), (128, 99), (1024, 800), (2048, 1537), (8192, 6144)]


@pytest.mark.parametrize(
    ("n_fft", "win_length", "power"),
    [
        (256, 200, 2.0),
        (256, 200, 1.0),
        *(pytest.param(*size, 2.0, marks=pytest.mark.slow) for size in SIZES),
    ],
)
def test_other_lengths_give_the_log_mel_of_numpy(compiler, tmp_path, n_fft, win_length, power):
    front_end = replace(FRONTEND, n_fft=n_fft, win_length=win_length, power=power)
    write_random_network(3, 64, tmp_path, front_end)
    session = NativeSession(compile_library(tmp_path))
    waveform = np.random.default_rng(0).normal(scale=0.1, size=session.spec.clip_samples).astype(np.float32)
    expected = LogMel(front_end)(waveform)
    found = []
    for kind in kinds_of(session):
        assert session._library.model_use(kind.encode())
        found.append(session.front_end(waveform))
        np.testing.assert_array_equal(found[-1], found[0], err_msg=kind)
    np.testing.assert_allclose(found[0], expected, atol=1e-3)


def test_a_stream_keeps_the_frames_of_a_window_whose_last_frame_ends_long_before_it(compiler, tmp_path):
    """Then the next window's last frame is there before this window ends."""
    front_end = replace(FRONTEND, win_length=256, hop_length=237, center=False, pad_mode="constant")
    write_random_network(3, 64, tmp_path, front_end, hop_s=237 / 8000)
    model = load_model(compile_library(tmp_path))
    waveform = np.random.default_rng(1).normal(scale=0.3, size=8000 + 40 * 237).astype(np.float32)
    waveform *= np.abs(np.sin(np.arange(len(waveform), dtype=np.float32) / 1500))
    predictions = model.stream(hop_s=237 / 8000).push(waveform)
    expected = [list(prediction.scores.values()) for prediction in predictions]
    assert len(expected) == 41
    np.testing.assert_allclose(push(model.session, waveform, lambda: 79), expected, atol=1e-6)


def test_a_stream_takes_the_hop_nearest_to_a_quarter_of_a_second_that_frames_allow():
    for preset, samples in (("cp_mel", 8_000), ("cp_mel_hop750", 8_250)):
        spec = ModelSpec(labels=("a", "b"), frontend=FrontEndSpec.preset(preset))
        assert StreamSizes.of(spec).hop_samples == samples
    with pytest.raises(ModelFileError, match=r"multiple of 0\.0234375 s"):
        StreamSizes.of(spec, 0.25)
