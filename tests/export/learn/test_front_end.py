"""The front end that `learn` chooses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from export.learn.data.sounds import Sounds, read_sounds
from export.learn.front_end import NARROW, WIDE, Files, choose_frontend
from export.learn.recipe import BUDGETS, choose_width
from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec
from tests.export.learn.sounds import write_tone
from train.data import Clip

RATE = 8_000


@pytest.mark.parametrize(
    ("rate", "longer", "brief"),
    [
        (48_000, "cp_mel", "passt_mel"),
        (32_000, "cp_mel", "passt_mel"),
        (22_050, "cp_mel_16k", "passt_mel_16k"),
        (16_000, "cp_mel_16k", "passt_mel_16k"),
        (11_025, "cp_mel_8k", "passt_mel_8k"),
        (8_000, "cp_mel_8k", "passt_mel_8k"),
        (4_000, "cp_mel_8k", "passt_mel_8k"),
    ],
)
def test_the_front_end_is_the_widest_that_the_sounds_fill(rate, longer, brief):
    assert choose_frontend(None, Files(rate, 5.0)) == choose_frontend(None, Files(rate, 1.0, 0.9)) == longer
    assert choose_frontend(None, Files(rate, 0.4, 0.3)) == brief
    assert choose_frontend("ced_mel", Files(rate, 0.4, 0.3)) == "ced_mel"
    with pytest.raises(ConfigError, match="cp_mel"):
        choose_frontend("cp_mell", Files(rate, 5.0))


def test_brief_sounds_have_half_as_many_bands_of_the_same_range():
    for narrow, wide in zip(NARROW, WIDE, strict=True):
        many, few = FrontEndSpec.preset(narrow), FrontEndSpec.preset(wide)
        assert few.n_mels * 2 == many.n_mels and few.sample_rate == many.sample_rate
        assert few.f_max == pytest.approx(many.f_max, rel=0.05)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("frontend", [*NARROW, *WIDE])
def test_the_widest_network_of_a_budget_keeps_to_the_limits(budget, frontend):
    arguments, cost = choose_width(budget, frontend, 10)
    assert arguments == BUDGETS[budget][0] and cost.params <= 128_000 and cost.macs <= 30_000_000


def folder_of(root: Path, seconds: float, sounding_s: float, noise_db: float = -45.0) -> Path:
    """Two classes of three files in which a tone sounds for a part of the time."""
    rng = np.random.default_rng(0)
    for label in ("no", "yes"):
        (root / label).mkdir(parents=True)
        for number in range(3):
            wave = 10 ** (noise_db / 20) * 0.2 * rng.standard_normal(round(seconds * RATE))
            first = rng.integers(0, len(wave) - round(sounding_s * RATE) + 1)
            time = np.arange(round(sounding_s * RATE)) / RATE
            wave[first : first + len(time)] += 0.2 * np.sin(2 * np.pi * 440 * time)
            soundfile.write(root / label / f"{'abc'[number]}.wav", wave, RATE)
    return root


@pytest.mark.parametrize(
    ("seconds", "sounding_s", "frontend"),
    [
        (0.4, 0.35, "passt_mel_8k"),
        (1.0, 0.4, "passt_mel_8k"),  # a take of `record` with a word in it
        (1.0, 1.0, "cp_mel_8k"),
        (0.9, 0.85, "cp_mel_8k"),
        (5.0, 0.4, "cp_mel_8k"),  # how many sounds there are in five seconds, nobody can tell
    ],
)
def test_what_counts_is_how_long_it_sounds(tmp_path, seconds, sounding_s, frontend):
    files = read_sounds(folder_of(tmp_path, seconds, sounding_s)).files()
    assert (files.rate, files.median_s) == (RATE, seconds)
    assert choose_frontend(None, files) == frontend


def test_esc10_has_long_windows(esc10_dir):
    dogs = sorted((esc10_dir / "audio").glob("1-*-0.*"))
    clips = tuple(Clip(id=path.name, targets=(0,), group=path.name) for path in dogs)
    files = Sounds(("dog",), clips, esc10_dir / "audio", False, {}).files()
    assert len(dogs) == 8 and choose_frontend(None, files) == "cp_mel"


def test_a_file_that_cannot_be_read_has_no_say(tmp_path):
    folder_of(tmp_path, 0.4, 0.3)
    (tmp_path / "yes" / "d.wav").write_bytes(b"no audio")
    write_tone(tmp_path / "yes" / "e.wav", 300, 0, seconds=3.0)
    assert choose_frontend(None, read_sounds(tmp_path).files()) == "passt_mel_8k"
