"""Scenes: speed, level, and mixtures whose labels follow the amplitudes."""

from __future__ import annotations

import pytest
import torch

from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec
from train.augmentation.config import Augmentation
from train.augmentation.random_draws import generator_for
from train.augmentation.scene import Scene, change_speed
from train.log_mel import LogMel

RATE = 32_000


def tones(*hz: float) -> torch.Tensor:
    return torch.stack([torch.sin(2 * torch.pi * f * torch.arange(RATE) / RATE) for f in hz])


def loudest_hz(waveform: torch.Tensor) -> float:
    return float(torch.fft.rfft(waveform * torch.hann_window(len(waveform))).abs().argmax())


@pytest.mark.parametrize("speed", [0.5, 0.85, 1.18, 2.0])
def test_speed_moves_the_pitch(speed):
    changed = change_speed(tones(1000.0), torch.tensor([speed]), torch.tensor([0.3]))
    assert changed.shape == (1, RATE)
    assert loudest_hz(changed[0]) == pytest.approx(1000 * speed, abs=4)


def test_speed_one_changes_nothing():
    waveform = torch.randn(2, RATE)
    assert torch.equal(change_speed(waveform, torch.ones(2), torch.zeros(2)), waveform)


def test_the_peak_is_set_whatever_the_level():
    scene = Scene(speed_p=0.0, mix_p=0.0, peak=0.5)
    waveform, mixing = scene(torch.stack([tones(500.0)[0] * 1e-3, tones(700.0)[0]]), generator_for(0))
    assert waveform.abs().amax(dim=1).tolist() == pytest.approx([0.5, 0.5])
    assert mixing.weight.tolist() == [1.0, 1.0]


def test_silence_stays_silence():
    waveform, _ = Scene(mix_p=0.0)(torch.zeros(2, RATE), generator_for(0))
    assert not waveform.any()


@pytest.mark.parametrize("mix_p", [0.0, 1.0])
def test_noise_below_the_limit_is_not_made_louder(mix_p):
    noise = torch.randn(4, RATE) * 1e-5  # -100 dBFS
    waveform, _ = Scene(mix_p=mix_p, speed_p=0.0, mix_db=(-20.0, 0.0))(noise, generator_for(0))
    assert float(waveform.square().mean().sqrt()) < 2e-5  # twice where a noise is added to itself


def test_a_sound_above_the_limit_is_as_loud_beside_noise_below_it():
    sounds = torch.cat([torch.randn(1, RATE) * 1e-5, tones(500.0) * 1e-3])
    waveform, mixing = Scene(mix_p=1.0, speed_p=0.0)(sounds, generator_for(2))
    assert mixing.partner.tolist() == [1, 0]
    assert waveform.abs().amax(dim=1).tolist() == pytest.approx([0.5, 0.5])


def test_a_mixture_has_the_amplitudes_that_its_labels_say():
    hz = torch.tensor([500.0, 900.0, 1300.0, 1700.0])
    waveform, mixing = Scene(speed_p=0.0, mix_p=1.0)(tones(*hz.tolist()), generator_for(3))
    spectrum = torch.fft.rfft(waveform).abs()
    for row, (partner, weight) in enumerate(
        zip(mixing.partner.tolist(), mixing.weight.tolist(), strict=True)
    ):
        own, other = spectrum[row, int(hz[row])], spectrum[row, int(hz[partner])]
        if partner != row:
            assert float(own / (own + other)) == pytest.approx(weight, abs=1e-3)


def test_a_seed_gives_a_scene():
    waveform = torch.randn(6, RATE)
    one, other = (Scene()(waveform, generator_for(seed)) for seed in (1, 1))
    assert torch.equal(one[0], other[0]) and torch.equal(one[1].weight, other[1].weight)
    assert not torch.equal(one[0], Scene()(waveform, generator_for(2))[0])


def test_labels_follow_mixup_where_the_scene_mixes_nothing():
    log_mel = LogMel(FrontEndSpec.preset("cp_mel"))
    augmentation = Augmentation(scene=Scene(mix_p=0.0), mixup_alpha=0.3)
    view = augmentation.view(torch.randn(4, RATE), log_mel, generator_for(0))
    assert view.mixing is view.mixup and view.mixup is not None


def test_labels_follow_one_mixing_only():
    with pytest.raises(ConfigError, match="mixup_alpha"):
        Augmentation(scene=Scene(), mixup_alpha=0.3)
    with pytest.raises(ConfigError, match="speed"):
        Scene(speed=(0.0, 1.0))
