"""Augmentations: seeded, shape-keeping, and doing what they are named for."""

from __future__ import annotations

import pytest
import torch

from train import augment
from train.augment import Augmentation, generator_for


@pytest.fixture
def log_mel():
    return torch.randn(6, 1, 16, 10, generator=torch.Generator().manual_seed(0)) * 2 + 1


def test_the_same_seed_gives_the_same_view(log_mel):
    target = torch.eye(6)
    on = Augmentation(roll_s=0.1, freq_mixstyle_p=1.0)
    views = [on.spectrum(log_mel, target, generator_for(1, 2, 3)) for _ in range(2)]
    assert torch.equal(views[0][0], views[1][0]) and torch.equal(views[0][1], views[1][1])
    other, _ = on.spectrum(log_mel, target, generator_for(1, 2, 4))
    assert not torch.equal(views[0][0], other)


def test_null_switches_everything_off(log_mel):
    off = Augmentation(gain_db=None, roll_s=None, freq_mixstyle_p=None, mixup_alpha=None)
    wave = torch.randn(2, 100)
    assert off.waveform(wave, 100, generator_for(0)) is wave
    assert off.spectrum(log_mel, torch.eye(6), generator_for(0))[0] is log_mel


def test_mixup_mixes_inputs_and_targets_alike():
    x = torch.eye(5)
    mixed, target = augment.mixup(x, x, 0.4, generator_for(0))
    assert torch.equal(mixed, target)
    torch.testing.assert_close(target.sum(1), torch.ones(5))
    assert (target.argmax(1) == torch.arange(5)).all()  # the larger share stays with the example
    assert not torch.equal(mixed, x)


def test_freq_mixstyle_exchanges_band_statistics(log_mel):
    mixed = augment.freq_mixstyle(log_mel, 0.3, generator_for(0))
    assert mixed.shape == log_mel.shape

    def normalized(x):
        return (x - x.mean(3, keepdim=True)) / x.std(3, keepdim=True)

    torch.testing.assert_close(normalized(mixed), normalized(log_mel), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(mixed.mean(3), log_mel.mean(3))


def test_gain_stays_in_its_range_and_roll_keeps_samples():
    wave = torch.ones(500, 4)
    gain_db = 20 * torch.log10(augment.random_gain(wave, 6.0, generator_for(0))[:, 0])
    assert -6 <= gain_db.min() < -4 and 4 < gain_db.max() <= 6
    ramp = torch.arange(100.0).repeat(4, 1)
    rolled = augment.random_roll(ramp, 30, generator_for(0))
    assert torch.equal(rolled.sort(1).values, ramp)
    assert not torch.equal(rolled, ramp)
