"""``check-data`` finds what was put wrong on purpose, and nothing in a sound corpus."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import soundfile

from train.cli.check_data import main
from train.data import ESC50, Table
from train.data.checks import examine
from train.data.datasets.synthetic import render

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


def test_near_duplicates_and_shared_cities_are_reported(tmp_path):
    waves = {f"{n}.wav": render("crowd", (n,), RATE, 1.0) for n in range(4)}
    waves |= {"louder.wav": waves["0.wav"] * 2, "late.wav": np.roll(waves["1.wav"], 100)}
    for name, wave in waves.items():
        soundfile.write(tmp_path / name, wave, RATE)
    split = {"3.wav": "val", "late.wav": "test"}
    city = {"2.wav": "lyon"}
    rows = [
        [name, "xy"[index % 2], split.get(name, "train"), city.get(name, "milan")]
        for index, name in enumerate(waves)
    ]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split", "city"], *rows])
    report = examine(Table(str(tmp_path / "t.csv")), RATE)
    assert report.findings["leak: same sound in two splits"][0].startswith(
        "1.wav (train) ~ late.wav (test), "
    )
    assert report.findings["near-duplicate"][0].startswith("0.wav (train) ~ louder.wav (train), ")
    assert len(report.findings) == 2
    assert report.notes["city in two splits"] == ["milan in train, val, test"]
    assert "city in two splits: 1" in report.to_text()
    strict = examine(Table(str(tmp_path / "t.csv")), RATE, city_disjoint=True)
    assert (
        strict.findings["leak: city in two splits"] == ["milan in train, val, test"]
        and "city in two splits" not in strict.notes
    )


@pytest.mark.slow
def test_esc10_is_sound_but_for_its_loud_clips(esc10_dir):
    found = examine(ESC50(str(esc10_dir), esc10=True), 32_000, workers=2).findings
    assert not any("leak" in kind or kind == "unreadable" for kind in found)
    # two uploads to Freesound of one fire; they are in one fold
    assert found["near-duplicate"] == [
        "2-28314-A-12.ogg (train) ~ 2-30322-A-12.ogg (train), correlation 0.96"
    ]


def test_near_duplicates_of_a_large_corpus_are_looked_for_among_some_clips(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(30):
        soundfile.write(tmp_path / f"{number:02}.wav", 0.1 * rng.standard_normal(RATE), RATE)
    rows = [f"{number:02}.wav,{'ab'[number % 2]},{number},train" for number in range(30)]
    (tmp_path / "t.csv").write_text("path,label,group,split\n" + "\n".join(rows) + "\n")
    corpus = Table(str(tmp_path / "t.csv"))
    assert examine(corpus, RATE, compared=7).notes["near-duplicates"] == [
        "looked for among 6 of the 30 clips"
    ]
    assert "near-duplicates" not in examine(corpus, RATE, compared=30).notes
