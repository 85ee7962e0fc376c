"""Training computes the log-mel that the runtime computes, from decoding to the front end, for any file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from runtime.audio.decode import AudioFile
from runtime.audio.samples import as_float, to_int16
from runtime.spec import FrontEndSpec, ModelSpec
from runtime.streaming.framing import Framer
from train.data.corpus import Clip, read_audio
from train.data.windows import BatchIndices, ClipWindows
from train.log_mel import LogMel

SPEC = ModelSpec(labels=("a", "b"), frontend=FrontEndSpec.preset("cp_mel"))
RATE = SPEC.frontend.sample_rate
TOLERANCE = 1e-4
RATES = {
    "wav": (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000),
    "flac": (8_000, 16_000, 44_100, 48_000, 96_000, 192_000),
    "ogg": (8_000, 16_000, 44_100, 48_000, 96_000, 192_000),
    "mp3": (8_000, 16_000, 32_000, 44_100, 48_000),  # has no higher rates
}


def runtime_log_mels(path: Path) -> list[np.ndarray]:
    """The log-mels of a file's windows with a signal, as a stream that lies window beside window has them."""
    file = AudioFile(path)
    framer = Framer(SPEC, SPEC.clip_s, file.sample_rate)
    windows = [w.log_mel.copy() for block in file.blocks() for w in framer.push(block) if w.state == "ok"]
    return windows + [w.log_mel.copy() for w in framer.finish() if w.state == "ok"]


def training_log_mels(path: Path) -> torch.Tensor:
    """The log-mels [windows, mels, frames] of the batch that the data module cuts from a file."""
    clip = Clip("a", (0,), "a")
    windows = ClipWindows([clip], [read_audio(path, RATE)], SPEC.clip_samples, 2)
    return LogMel(SPEC.frontend)(windows[BatchIndices(0, list(range(len(windows))))].waveform)[:, 0]


def sound(rate: int, channels: int) -> np.ndarray:
    """2.7 s with a loud, a quiet and a fading part: [samples, channels]."""
    rng, t = np.random.default_rng(rate + channels), np.arange(int(2.7 * rate)) / rate
    level = np.where(t < 0.7, 0.2, np.where(t < 1.4, 2e-3, 0.1 * np.exp(-4 * (t - 1.4))))
    tone = 0.3 * np.sin(2 * np.pi * 440 * t)[:, None]
    return level[:, None] * (rng.normal(size=(len(t), channels)) + tone)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("kind", "rate"), [(kind, rate) for kind in RATES for rate in RATES[kind]])
def test_training_and_runtime_compute_the_same_log_mel(tmp_path, kind, rate, channels):
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, np.clip(sound(rate, channels), -1, 1), rate)
    expected, actual = np.stack(runtime_log_mels(path)), training_log_mels(path).numpy()
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() < TOLERANCE


@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT"])
def test_nothing_is_rounded_that_a_file_holds(tmp_path, subtype):
    path = tmp_path / "a.wav"
    soundfile.write(path, 1e-2 * sound(RATE, 1), RATE, subtype=subtype)
    expected, actual = np.stack(runtime_log_mels(path)), training_log_mels(path).numpy()
    assert np.abs(actual - expected).max() < TOLERANCE


def test_samples_of_16_bits_at_the_rate_stay_int16(tmp_path):
    wave = to_int16(sound(RATE, 1).astype(np.float32)[:, 0])
    soundfile.write(tmp_path / "a.wav", wave, RATE)
    assert read_audio(tmp_path / "a.wav", RATE).dtype == np.int16
    assert np.array_equal(read_audio(tmp_path / "a.wav", RATE), wave)
    assert read_audio(tmp_path / "a.wav", 16_000).dtype == np.float32


def test_a_part_of_a_file(tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(RATE, 1), RATE)
    whole = as_float(read_audio(tmp_path / "a.wav", RATE))
    part = as_float(read_audio(tmp_path / "a.wav", RATE, start_s=0.5, seconds=1.0))
    assert np.array_equal(part, whole[RATE // 2 : RATE // 2 + RATE])
