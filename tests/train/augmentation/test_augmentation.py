"""Augmentations: seeded, of unchanged shape, and with the effect of their names."""

from __future__ import annotations

import os

import numpy as np
import pytest
import soundfile
import torch

from runtime.errors import ConfigError, DataError
from runtime.spec import FrontEndSpec
from train.augmentation.config import Augmentation
from train.augmentation.impulse_responses import impulse_responses, random_impulse
from train.augmentation.random_draws import generator_for
from train.augmentation.spectrum import freq_mixstyle, mask
from train.augmentation.views import draw_mixing
from train.augmentation.waveform import add_white_noise, random_gain, random_roll
from train.log_mel import LogMel


@pytest.fixture
def log_mel():
    return torch.randn(6, 1, 16, 10, generator=torch.Generator().manual_seed(0)) * 2 + 1


def test_the_same_seed_gives_the_same_view(log_mel):
    on = Augmentation(roll_s=0.1, freq_mixstyle_p=1.0)
    (one, mixing), (same, mixed_alike) = (on.spectrum(log_mel, generator_for(1, 2, 3)) for _ in range(2))
    assert torch.equal(one, same) and all(map(torch.equal, mixing, mixed_alike))
    other, _ = on.spectrum(log_mel, generator_for(1, 2, 4))
    assert not torch.equal(one, other)


def test_null_switches_everything_off(log_mel):
    off = Augmentation(gain_db=None, roll_s=None, freq_mixstyle_p=None, mixup_alpha=None)
    wave = torch.randn(2, 100)
    assert off.waveform(wave, 100, generator_for(0)) is wave
    assert off.spectrum(log_mel, generator_for(0)) == (log_mel, None)


def test_mixup_mixes_inputs_and_targets_alike():
    x = torch.eye(5)
    mixing = draw_mixing(5, 0.4, generator_for(0))
    target = mixing(x)
    assert torch.equal(mixing(x.reshape(5, 1, 5, 1)).flatten(1), target)
    torch.testing.assert_close(target.sum(1), torch.ones(5))
    assert (target.argmax(1) == torch.arange(5)).all()  # the larger share stays with the example
    assert not torch.equal(target, x)


def test_freq_mixstyle_exchanges_band_statistics(log_mel):
    mixed = freq_mixstyle(log_mel, 0.3, generator_for(0))
    assert mixed.shape == log_mel.shape

    def normalized(x):
        return (x - x.mean(3, keepdim=True)) / x.std(3, keepdim=True)

    torch.testing.assert_close(normalized(mixed), normalized(log_mel), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(mixed.mean(3), log_mel.mean(3))


def test_gain_stays_in_its_range_and_roll_keeps_samples():
    wave = torch.ones(500, 4)
    gain_db = 20 * torch.log10(random_gain(wave, 6.0, generator_for(0))[:, 0])
    assert -6 <= gain_db.min() < -4 and 4 < gain_db.max() <= 6
    ramp = torch.arange(100.0).repeat(4, 1)
    rolled = random_roll(ramp, 30, generator_for(0))
    assert torch.equal(rolled.sort(1).values, ramp)
    assert not torch.equal(rolled, ramp)


@pytest.fixture
def responses_dir(tmp_path):
    """A response that delays by three samples and halves, and one that only scales."""
    soundfile.write(tmp_path / "late.wav", np.array([0, 0, 0, 0.5, 0.25]), 8_000, subtype="FLOAT")
    soundfile.write(tmp_path / "plain.wav", np.array([0.5]), 8_000, subtype="FLOAT")
    return tmp_path


def test_impulse_responses_convolve_without_delay(responses_dir):
    responses = impulse_responses(str(responses_dir), 8_000)
    torch.testing.assert_close(responses.norm(dim=1), torch.ones(2))
    wave = torch.randn(40, 100, generator=generator_for(0))
    augmented = random_impulse(wave, responses, torch.ones(40, dtype=torch.bool), generator_for(1))
    later = torch.nn.functional.pad(wave, (1, 0))[:, :100]
    late = (2 * wave + later) / 5**0.5
    passed = [bool(torch.allclose(h, w, atol=1e-4)) for h, w in zip(augmented, wave, strict=True)]
    delayed = [bool(torch.allclose(h, x, atol=1e-3)) for h, x in zip(augmented, late, strict=True)]
    assert all(a != b for a, b in zip(passed, delayed, strict=True))
    assert 5 < sum(passed) < 35


def test_only_named_devices_are_convolved(responses_dir):
    on = Augmentation(gain_db=None, impulse_p=1.0, impulse_dir=str(responses_dir), impulse_devices=("a",))
    wave = torch.randn(60, 50, generator=generator_for(0))
    augmented = on.waveform(wave, 8_000, generator_for(1), ["a", "b"] * 30)
    changed = (augmented - wave).abs().amax(dim=1) > 1e-3
    assert not changed[1::2].any() and 5 < changed[::2].sum() < 25
    again = on.waveform(wave, 8_000, generator_for(1), ["a", "b"] * 30)
    assert torch.equal(augmented, again)
    never = on.waveform(wave, 8_000, generator_for(1), ["c"] * 60)
    assert torch.equal(never, wave)


def test_missing_impulse_responses_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("MIC_IR_DIR", raising=False)
    wave = torch.randn(2, 50)
    with pytest.raises(DataError, match="MIC_IR_DIR"):
        Augmentation(impulse_p=1.0).waveform(wave, 8_000, generator_for(0))
    with pytest.raises(DataError, match="no wav file"):
        Augmentation(impulse_p=1.0, impulse_dir=str(tmp_path)).waveform(wave, 8_000, generator_for(0))


def test_real_impulse_responses_keep_the_level_of_noise():
    if not os.environ.get("MIC_IR_DIR"):
        pytest.skip("MIC_IR_DIR is not set: no impulse responses on this machine")
    wave = 0.1 * torch.randn(8, 32_000, generator=generator_for(0))
    augmented = Augmentation(gain_db=None, impulse_p=1.0).waveform(wave, 32_000, generator_for(1))
    level_db = 20 * (augmented.std(dim=1) / wave.std(dim=1)).log10()
    assert augmented.shape == wave.shape and level_db.abs().max() < 1


def test_noise_comes_at_its_ratio():
    wave = torch.randn(300, 4_000, generator=generator_for(0)) * torch.logspace(-3, 0, 300)[:, None]
    noise = add_white_noise(wave, 5.0, 20.0, generator_for(1)) - wave
    snr_db = 20 * (wave.std(dim=1) / noise.std(dim=1)).log10()
    assert 4.5 < snr_db.min() < 6 and 19 < snr_db.max() < 20.5
    silent = add_white_noise(torch.zeros(2, 10), 5.0, 20.0, generator_for(1))
    assert torch.equal(silent, torch.zeros(2, 10))


@pytest.mark.parametrize("axis", [2, 3])
def test_masks_are_one_stretch_of_silence_in_each_example(axis):
    x = torch.ones(400, 1, 16, 10)
    masked = mask(x, axis, 6, -0.5, generator_for(0))
    rest = tuple(i for i in (1, 2, 3) if i != axis)
    hidden = (masked == -0.5).all(dim=rest)
    assert torch.equal((masked == -0.5).any(dim=rest), hidden)  # whole bands or frames
    assert set(hidden.sum(1).tolist()) == set(range(6))
    edges = (hidden.int().diff(dim=1) != 0).sum(1)
    assert edges.max() <= 2 and hidden[:, 0].any() and hidden[:, -1].any()
    with pytest.raises(ConfigError, match="mask of 17"):
        mask(x, 2, 17, 0.0, generator_for(0))


def test_masks_are_filled_with_the_front_ends_silence():
    log_mel = LogMel(FrontEndSpec.preset("cp_mel"))
    assert log_mel(torch.zeros(1, 32_000)).unique().tolist() == pytest.approx([log_mel.silence])
    on = Augmentation(freq_mixstyle_p=None, mixup_alpha=None, mask_mels=100, mask_frames=30)
    augmented, _ = on.spectrum(torch.ones(8, 1, 256, 64), generator_for(0), log_mel.silence)
    assert augmented.unique().tolist() == pytest.approx([log_mel.silence, 1.0])


def test_filter_bank_jitter_moves_the_edges_within_the_band():
    spec = FrontEndSpec.preset("cp_mel")
    moved = [Augmentation(jitter_hz=1_000).frontend(spec, generator_for(n)) for n in range(50)]
    assert min(m.f_min for m in moved) >= 0 and max(m.f_min for m in moved) > 500
    assert max(m.f_max for m in moved) == 16_000 and min(m.f_max for m in moved) < 14_900
    assert Augmentation().frontend(spec, generator_for(0)) is spec
    wave = torch.randn(1, 32_000, generator=generator_for(0))
    assert not torch.equal(LogMel(moved[0])(wave), LogMel(spec)(wave))


@pytest.mark.parametrize(
    ("name", "value", "range_"),
    [
        ("mixup_alpha", -1.0, "0 or more"),
        ("mixup_alpha", float("nan"), "0 or more"),
        ("gain_db", -3.0, "0 or more"),
        ("roll_s", float("inf"), "0 or more"),
        ("freq_mixstyle_p", 3.0, r"in \[0, 1\]"),
        ("impulse_p", -0.1, r"in \[0, 1\]"),
    ],
)
def test_strengths_that_make_no_sense_are_refused(name, value, range_):
    with pytest.raises(ConfigError, match=rf"{name} .*{range_}, not {value}"):
        Augmentation(**{name: value})
