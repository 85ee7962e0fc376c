"""Reverberation: impulse responses whose decay and direct sound are those that were asked for."""

from __future__ import annotations

import pytest
import torch

from runtime.errors import ConfigError
from train.augmentation.capture import Capture
from train.augmentation.random_draws import generator_for
from train.augmentation.reverberation import reverberate_some, reverberation_responses

RATE = 32_000
NOTHING_ELSE = {"response_p": 0.0, "band_p": 0.0, "noise_p": 0.0, "gain_p": 0.0}


def test_the_tail_decays_by_60_db_in_the_time_asked_for():
    response = reverberation_responses(torch.tensor([0.5]), torch.tensor([0.0]), RATE, generator_for(0))[0]
    millisecond = RATE // 1000
    level_db = [
        10 * float(torch.log10(response[start : start + 20 * millisecond].square().mean()))
        for start in (10 * millisecond, 260 * millisecond)
    ]
    assert level_db[0] - level_db[1] == pytest.approx(30, abs=2)


def test_direct_sound_has_the_ratio_asked_for_and_the_whole_unit_energy():
    responses = reverberation_responses(
        torch.tensor([0.2, 0.6]), torch.tensor([-3.0, 9.0]), RATE, generator_for(0)
    )
    energy = responses.square()
    ratio_db = 10 * torch.log10(energy[:, 0] / energy[:, 1:].sum(dim=1))
    torch.testing.assert_close(ratio_db, torch.tensor([-3.0, 9.0]), atol=0.05, rtol=0)
    torch.testing.assert_close(energy.sum(dim=1), torch.ones(2))


def test_a_click_rings_on_at_its_place():
    click = torch.zeros(1, RATE)
    click[0, 8_000] = 0.5
    ringing = reverberate_some(click, 1.0, (0.4, 0.4), (6.0, 6.0), RATE, generator_for(0))[0]
    assert int(ringing.abs().argmax()) == 8_000
    assert float(ringing[:8_000].abs().max()) < 1e-5
    assert float(ringing[8_001:].square().sum()) > 0.1 * float(ringing.square().sum())


def test_the_share_of_capture_decides_how_many_waveforms_reverberate():
    scene = 0.1 * torch.randn(200, 3_200, generator=generator_for(0))
    captured = Capture(**NOTHING_ELSE, reverberation_p=0.3)(scene, RATE, generator_for(1))
    changed = (captured != scene).any(dim=1).float().mean()
    assert float(changed) == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize(
    "wrong", [{"reverberation_p": 1.5}, {"reverberation_s": (0.0, 0.5)}, {"reverberation_s": (0.5, 0.1)}]
)
def test_values_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match="reverberation"):
        Capture(**wrong)
