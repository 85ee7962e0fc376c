"""Copies of a recording are found, other recordings are not."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import soundfile

from train.data import near_duplicates
from train.data.datasets.synthetic import SCENES, render
from train.data.near_duplicates import CANDIDATE, SAME, candidates, correlation, fingerprints

RATE = 16_000


def _encode(wave: np.ndarray, **form) -> np.ndarray:
    """What a codec leaves of samples."""
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, **form)
    file.seek(0)
    return soundfile.read(file, dtype="int16")[0]


def _later(wave: np.ndarray, milliseconds: int) -> np.ndarray:
    silence = np.zeros(milliseconds * RATE // 1000, np.int16)
    return np.concatenate([silence, wave])[: len(wave)]


COPIES = {
    "quieter": lambda wave: wave // 4,
    "5 ms later": lambda wave: _later(wave, 5),
    "20 ms later": lambda wave: _later(wave, 20),
    "100 ms later": lambda wave: _later(wave, 100),
    "50 ms trimmed at both ends": lambda wave: wave[RATE // 20 : -RATE // 20],
    "mp3": lambda wave: _encode(wave, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.9),
    "vorbis": lambda wave: _encode(wave, format="OGG", subtype="VORBIS"),
    "opus": lambda wave: _encode(wave, format="OGG", subtype="OPUS"),
}

LOSSY = {"mp3", "vorbis", "opus"}  # a codec may change one of the ten scenes beyond recognition


def is_found(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether ``check-data`` would call two clips the same sound."""
    pairs = candidates([fingerprints(wave, RATE) for wave in (one, other)], ["one", "other"])
    return len(pairs) == 1 and correlation(one, other, RATE) >= SAME


@pytest.mark.parametrize("seconds", [1.0, 5.0])
@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_the_same_sound(copy, seconds):
    waves = [render(scene, (3, number), RATE, seconds) for number, scene in enumerate(SCENES)]
    missed = [s for s, wave in zip(SCENES, waves, strict=True) if not is_found(wave, COPIES[copy](wave))]
    assert len(missed) <= (copy in LOSSY), missed


def test_other_recordings_of_a_scene_are_other_sounds():
    waves = [render(scene, (3, n), RATE, 1.0) for scene in SCENES for n in range(8)]
    pairs = candidates([fingerprints(wave, RATE) for wave in waves], [str(i) for i in range(80)])
    assert all(correlation(waves[a], waves[b], RATE) < SAME - 0.2 for a, b in pairs)
    assert not fingerprints(np.zeros(RATE, np.int16), RATE).any()


def voiced(seed: int, formant: float) -> np.ndarray:
    """Half a second of a vowel of one pitch in a little noise, as of another speaker for each seed."""
    rng = np.random.default_rng(seed)
    time = np.arange(RATE // 2) / RATE
    harmonics = np.arange(1, 25)
    gains = np.exp(-0.5 * ((120 * harmonics - formant) / 150) ** 2) + 0.02 * rng.uniform(size=24)
    phases = rng.uniform(0, 2 * np.pi, 24)
    tones = gains[:, None] * np.sin(2 * np.pi * 120 * harmonics[:, None] * time + phases[:, None])
    wave = tones.sum(0) * np.hanning(len(time)) + 0.01 * rng.standard_normal(len(time))
    return (8_000 * wave / np.abs(wave).max()).astype(np.int16)


def test_two_vowels_of_one_pitch_are_no_duplicates():
    for one, other in itertools.combinations([voiced(seed, 480 + 5 * seed) for seed in range(6)], 2):
        assert correlation(one, other, RATE) < SAME


def test_candidates_are_the_same_in_any_block(monkeypatch):
    rng = np.random.default_rng(0)
    prints = rng.standard_normal((50, 2, 384))
    prints[[7, 30, 31]] = prints[3] + 0.3 * rng.standard_normal((3, 2, 384))
    prints[12, 1] = prints[20, 1]  # alike around the loudest moment alone
    prints = list((prints / np.linalg.norm(prints, axis=2, keepdims=True)).astype(np.float16))
    groups = [str(i) for i in range(50)]
    groups[31] = groups[30]
    found = candidates(prints, groups).tolist()
    expected = [[3, 7], [3, 30], [3, 31], [7, 30], [7, 31], [12, 20]]  # 30 and 31 are of one recording
    assert sorted(found) == expected
    monkeypatch.setattr(near_duplicates, "_BLOCK", 8)
    assert sorted(candidates(prints, groups).tolist()) == expected
    assert CANDIDATE < 1 and len(candidates([], [])) == 0
