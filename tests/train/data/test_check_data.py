"""``check-data`` finds what was put wrong on purpose, and nothing in a sound corpus."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import soundfile

from train.data import ESC50, Table
from train.data.checks import examine, main
from train.data.datasets.synthetic import SCENES, render
from train.data.near_duplicates import CANDIDATE, SAME, candidates, correlation, fingerprint

RATE = 8_000


@pytest.fixture
def broken(tmp_path):
    """A table with one clip of every fault."""
    rng = np.random.default_rng(0)
    waves = {f"good{n}": rng.standard_normal(RATE) * 0.1 for n in range(4)}
    waves |= {"silent": np.zeros(RATE), "loud": rng.standard_normal(RATE) * 3, "empty": np.zeros(0)}
    waves |= {"twin": waves["good0"], "copy": waves["good1"]}
    for name, wave in waves.items():
        soundfile.write(tmp_path / f"{name}.wav", np.clip(wave, -1, 1), RATE)
    soundfile.write(tmp_path / "fast.wav", rng.standard_normal(2 * RATE) * 0.1, 2 * RATE)
    (tmp_path / "text.wav").write_text("not audio")
    names = [*waves, "fast", "text"]
    group = dict.fromkeys(("good2", "good3"), "shared")
    split = dict.fromkeys(("good3", "copy"), "test")
    rows = [
        [f"{name}.wav", "xy"[index % 2], group.get(name, name), split.get(name, "train")]
        for index, name in enumerate(names)
    ]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "group", "split"], *rows])
    return tmp_path / "t.csv"


def test_every_fault_is_found_and_named(broken):
    found = examine(Table(str(broken)), RATE, workers=2).findings
    assert set(found) == {
        "unreadable", "empty", "silent", "clipped", "other sample rate", "duplicate",
        "leak: recording in two splits", "leak: same samples in two splits",
    }  # fmt: skip
    assert "text.wav" in found["unreadable"][0] and "empty.wav" in found["empty"][0]
    assert found["silent"] == ["silent.wav"]
    assert found["clipped"][0].startswith("loud.wav") and len(found["clipped"]) == 1
    assert found["other sample rate"] == ["fast.wav (16000 Hz, most have 8000 Hz)"]
    assert found["duplicate"] == ["good0.wav (train) = twin.wav (train)"]
    assert found["leak: same samples in two splits"] == ["good1.wav (train) = copy.wav (test)"]
    assert found["leak: recording in two splits"] == ["shared in train and test"]


def test_the_command_prints_counts_draws_and_says_no(broken, tmp_path, capsys):
    arguments = ["--data.corpus=train.data.Table", f"--data.corpus.path={broken}", f"--sample-rate={RATE}"]
    assert main([*arguments, f"--plot={tmp_path / 'x.png'}"]) == 1
    text = capsys.readouterr().out
    assert "train: 9 clips" in text and "class x" in text and "silent: 1" in text
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert main([*arguments, "--json"]) == 1
    values = json.loads(capsys.readouterr().out)
    assert values["clips"] == {"train": 9, "val": 0, "test": 2}
    assert values["classes"]["test"] == {"x": 1, "y": 1}


def test_a_sound_corpus_is_sound(capsys):
    few = [f"--data.corpus.{split}_clips=10" for split in ("train", "val", "test")]
    assert main(["--data.corpus=train.data.Synthetic", *few, "--data.corpus.seconds=0.1"]) == 0
    assert "nothing found" in capsys.readouterr().out


def _encode(wave: np.ndarray, **form) -> np.ndarray:
    """What a codec leaves of samples."""
    file = io.BytesIO()
    soundfile.write(file, wave, 16_000, **form)
    file.seek(0)
    return soundfile.read(file, dtype="int16")[0]


COPIES = {
    "quieter": lambda wave: wave // 4,
    "later": lambda wave: np.concatenate([np.zeros(320, np.int16), wave[:-320]]),  # 20 ms
    "earlier": lambda wave: np.concatenate([wave[320:], np.zeros(320, np.int16)]),
    "mp3": lambda wave: _encode(wave, format="MP3", subtype="MPEG_LAYER_III"),
    "vorbis": lambda wave: _encode(wave, format="OGG", subtype="VORBIS"),
}


@pytest.mark.parametrize("seconds", [1.0, 5.0])
@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_the_same_sound(copy, seconds):
    for number, scene in enumerate(SCENES):
        wave = render(scene, (3, number), 16_000, seconds)
        other = COPIES[copy](wave)
        cosine = float(fingerprint(wave, 16_000) @ fingerprint(other, 16_000))
        assert cosine > CANDIDATE + 0.05, scene
        assert correlation(wave, other, 16_000) > SAME + 0.1, scene


def test_other_recordings_of_a_scene_are_other_sounds():
    waves = [render(scene, (3, n), 16_000, 1.0) for scene in SCENES for n in range(8)]
    pairs = candidates([fingerprint(wave, 16_000) for wave in waves], [str(i) for i in range(80)])
    assert all(correlation(waves[a], waves[b], 16_000) < SAME - 0.2 for a, b in pairs)
    assert not fingerprint(np.zeros(16_000, np.int16), 16_000).any()


def test_candidates_are_the_same_in_any_block(monkeypatch):
    rng = np.random.default_rng(0)
    prints = rng.standard_normal((50, 384))
    prints[[7, 30, 31]] = prints[3] + 0.3 * rng.standard_normal((3, 384))
    prints = list((prints / np.linalg.norm(prints, axis=1, keepdims=True)).astype(np.float16))
    groups = [str(i) for i in range(50)]
    groups[31] = groups[30]
    found = candidates(prints, groups).tolist()
    assert sorted(found) == [[3, 7], [3, 30], [3, 31], [7, 30], [7, 31]]  # 30 and 31 are of one recording
    monkeypatch.setattr("train.data.near_duplicates._BLOCK", 8)
    assert sorted(candidates(prints, groups).tolist()) == sorted(found)


def test_near_duplicates_and_shared_cities_are_told(tmp_path):
    waves = {f"{n}.wav": render("crowd", (n,), RATE, 1.0) for n in range(4)}
    waves |= {"louder.wav": waves["0.wav"] * 2, "late.wav": np.roll(waves["1.wav"], 100)}
    for name, wave in waves.items():
        soundfile.write(tmp_path / name, wave, RATE)
    split = {"3.wav": "val", "late.wav": "test"}
    rows = [
        [name, "crowd", split.get(name, "train"), "milan" if name != "2.wav" else "lyon"] for name in waves
    ]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split", "city"], *rows])
    health = examine(Table(str(tmp_path / "t.csv")), RATE)
    assert health.findings["leak: same sound in two splits"][0].startswith(
        "1.wav (train) ~ late.wav (test), "
    )
    assert health.findings["near-duplicate"][0].startswith("0.wav (train) ~ louder.wav (train), ")
    assert len(health.findings) == 2
    assert health.notes == {"city in two splits": ["milan in train, val, test"]}
    assert "city in two splits: 1" in health.to_text()
    strict = examine(Table(str(tmp_path / "t.csv")), RATE, city_disjoint=True)
    assert strict.findings["leak: city in two splits"] == ["milan in train, val, test"] and not strict.notes


@pytest.mark.slow
def test_esc10_is_sound_but_for_its_loud_clips(esc10_dir):
    found = examine(ESC50(str(esc10_dir), esc10=True), 32_000, workers=2).findings
    assert not any("leak" in kind or kind == "unreadable" for kind in found)
    # two uploads to Freesound of one fire; they are in one fold
    assert found["near-duplicate"] == [
        "2-28314-A-12.ogg (train) ~ 2-30322-A-12.ogg (train), correlation 0.96"
    ]
