"""Capture: what a room and a microphone do to a scene, at stated strengths."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from runtime.errors import ConfigError, DataError
from train.augmentation.capture import (
    NOISES,
    Capture,
    add_noise,
    babble,
    eight_bits,
    limit_band,
    mu_law,
)
from train.augmentation.random_draws import generator_for

RATE = 32_000
QUIET = {"response_p": 0.0, "band_p": 0.0, "noise_p": 0.0, "gain_p": 0.0}


@pytest.fixture
def scene() -> torch.Tensor:
    return 0.1 * torch.randn(8, RATE, generator=generator_for(0))


def power_db(waveform: torch.Tensor, low_hz: float, high_hz: float) -> float:
    spectrum = torch.fft.rfft(waveform).abs().square()
    return float(10 * torch.log10(spectrum[..., int(low_hz) : int(high_hz)].mean() + 1e-20))


def test_nothing_on_changes_nothing(scene):
    assert torch.equal(Capture(**QUIET)(scene, RATE, generator_for(1)), scene)


def test_a_band_ends_at_half_of_its_rate(scene):
    limited = limit_band(scene, 8_000, RATE)
    assert power_db(limited, 100, 3500) == pytest.approx(power_db(scene, 100, 3500), abs=0.1)
    assert power_db(limited, 4100, 16_000) < power_db(scene, 4100, 16_000) - 60


@pytest.mark.parametrize("kind", [*NOISES, "babble"])
def test_noise_has_the_ratio_that_was_asked_for(scene, kind):
    snr_db = torch.linspace(0, 20, len(scene))
    rows = torch.arange(len(scene))
    noise = (
        babble(scene, rows, generator_for(2))
        if kind == "babble"
        else NOISES[kind](tuple(scene.shape), RATE, generator_for(2))
    )
    added = add_noise(scene, noise, snr_db) - scene
    measured = 20 * torch.log10(scene.square().mean(1).sqrt() / added.square().mean(1).sqrt())
    torch.testing.assert_close(measured, snr_db, atol=1e-3, rtol=0)


def test_pink_noise_falls_by_three_decibels_an_octave():
    noise = NOISES["pink"]((8, RATE), RATE, generator_for(0))
    assert power_db(noise, 500, 1000) - power_db(noise, 1000, 2000) == pytest.approx(3.0, abs=0.5)


def test_hum_lies_on_the_harmonics_of_the_mains():
    noise = NOISES["hum"]((6, RATE), RATE, generator_for(0))
    for row in torch.fft.rfft(noise).abs():
        assert int(row.argmax()) in (50, 60)


def test_gain_clips_at_full_scale(scene):
    captured = Capture(**QUIET | {"gain_p": 1.0, "gain_db": (40.0, 40.0)})(scene, RATE, generator_for(0))
    assert float(captured.abs().max()) == 1.0


@pytest.mark.parametrize("code", [mu_law, eight_bits])
def test_eight_bits_have_their_noise(scene, code):
    coded = code(scene)
    snr_db = 20 * torch.log10(scene.square().mean().sqrt() / (coded - scene).square().mean().sqrt())
    assert 25 < float(snr_db) < 45
    assert len(coded.unique()) <= 256


def test_coding_takes_its_share(scene):
    coded = Capture(**QUIET | {"coding_p": 1.0})(scene, RATE, generator_for(0))
    kinds = {"mu_law": mu_law(scene), "eight_bits": eight_bits(scene)}
    found = [
        name for row in range(len(scene)) for name, k in kinds.items() if torch.equal(coded[row], k[row])
    ]
    assert len(found) == len(scene) and set(found) == set(kinds)


def test_responses_can_be_left_out_for_a_test(scene, tmp_path):
    for name, taps in (("dull.wav", [0.5, 0.5]), ("bright.wav", [0.5, -0.5])):
        soundfile.write(tmp_path / name, np.array(taps, np.float32), RATE, subtype="FLOAT")
    capture = Capture(
        **QUIET | {"response_p": 1.0}, response_dir=str(tmp_path), response_exclude=("bright.wav",)
    )
    captured = capture(scene, RATE, generator_for(0))
    assert power_db(captured, 12_000, 16_000) < power_db(scene, 12_000, 16_000) - 5


def test_only_the_named_devices_are_convolved(scene, tmp_path):
    soundfile.write(tmp_path / "dull.wav", np.array([0.5, 0.5], np.float32), RATE, subtype="FLOAT")
    capture = Capture(**QUIET | {"response_p": 1.0}, response_dir=str(tmp_path), devices=("a",))
    captured = capture(scene, RATE, generator_for(0), ["a", "b"] * 4)
    assert not torch.equal(captured[0], scene[0]) and torch.equal(captured[1], scene[1])


def test_a_seed_gives_a_capture(scene):
    capture = Capture(**{**QUIET, "band_p": 0.5, "noise_p": 1.0, "gain_p": 1.0, "coding_p": 0.3})
    one, other = (capture(scene, RATE, generator_for(seed)) for seed in (5, 5))
    assert torch.equal(one, other)


def test_what_makes_no_sense_is_refused(scene, monkeypatch):
    with pytest.raises(ConfigError, match="brown"):
        Capture(noise_kinds=("brown",))
    with pytest.raises(ConfigError, match="gain_db"):
        Capture(gain_db=(3.0, -3.0))
    monkeypatch.delenv("MIC_IR_DIR", raising=False)
    with pytest.raises(DataError, match="MIC_IR_DIR"):
        Capture()(scene, RATE, generator_for(0))
