"""``fit --sounds DIR``: a folder of class folders is all that a training needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.errors import DataError
from train.checkpoints import model_pt
from train.cli.main import main
from train.cli.sounds import GROUPS, expand, shared_name
from train.data import Folder

SHORT = [
    "--model.arguments={base_channels: 8, channels_multiplier: 1.5, expansion_rate: 2.0}",
    "--data.batch_size=4", "--trainer.max_steps=2", "--trainer.accelerator=cpu",
]  # fmt: skip


def write_sounds(root: Path, *names: str) -> Path:
    """Noise of half a second under every name, in each of two classes."""
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        for name in names:
            path = root / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, rng.standard_normal(8_000) * 0.1, 16_000)
    return root


NAMES = [f"{place}.wav" for place in ("attic", "barn", "cellar", "den", "eaves", "field", "garden", "hall")]


def test_it_trains_and_tests_without_a_recipe(tmp_path, monkeypatch):
    write_sounds(tmp_path / "my sounds", *NAMES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train"])  # Lightning reads it
    assert main(["fit", "--sounds", "my sounds", *SHORT]) == 0
    assert model_pt.load(tmp_path / "runs" / "my sounds" / "model.pt").labels == ("cat", "dog")
    assert main(["test", "--sounds", "my sounds", SHORT[0]]) == 0
    assert (tmp_path / "runs" / "my sounds" / "test_report.json").is_file()


def test_sounds_of_no_class_are_negatives(tmp_path, monkeypatch):
    folder = write_sounds(tmp_path / "sounds", *NAMES)
    (folder / "not_a_class").mkdir()
    assert "--data.corpus=train.data.Folder" in expand(["fit", "--sounds", str(folder)])
    write_sounds(tmp_path / "others", "speech 1.wav", "speech 2.wav")
    (tmp_path / "others" / "cat").rename(folder / "not_a_class" / "of the kitchen")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train"])  # Lightning reads it
    assert main(["fit", "--sounds", "sounds", *SHORT]) == 0
    checkpoint = model_pt.load(tmp_path / "runs" / "sounds" / "model.pt")
    assert checkpoint.labels == ("cat", "dog")
    assert checkpoint.provenance["data"]["negatives"]["folders"] == ["not_a_class"]


def test_names_that_are_shared_are_refused_with_the_remedy(tmp_path):
    folder = write_sounds(tmp_path / "sounds", "garden_1.wav", "garden_2.wav", *NAMES)
    with pytest.raises(DataError) as refused:
        expand(["fit", "--sounds", str(folder)])
    for fact in ("cat/garden_1.wav", "'garden'", "--group name", "--no-groups"):
        assert fact in str(refused.value)


@pytest.mark.parametrize(
    ("files", "shared"),
    [
        (["cat/a_1.wav", "cat/a_2.wav"], "a"),
        (["cat/1-30226-A-0.wav", "cat/1-30226-B-0.wav"], "1-30226"),  # of ESC-50
        (["cat/0a7c_nohash_0.wav", "cat/0a7c_nohash_1.wav"], "0a7c_nohash"),
        (["cat/rain 1.flac", "cat/rain 2.flac"], "rain"),
        (["cat/street/1.wav", "cat/street/2.wav"], "street"),
        (["cat/1.wav", "cat/2.wav", "cat/12.wav"], None),
        (["cat/a_1.wav", "dog/a_2.wav"], None),  # two classes cannot come from one recording by name alone
        (["cat/attic.wav", "cat/barn.wav"], None),
    ],
)
def test_shared_names_are_found(files, shared):
    found = shared_name(files)
    assert (found and found[2]) == shared


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("name", [f"{place}_{part}.wav" for place in "abcdefgh" for part in (1, 2, 10)]),
        ("folder", [f"{place}/{part}.wav" for place in "abcdefgh" for part in (1, 2, 10)]),
    ],
)
def test_a_recording_stays_in_one_split(kind, names, tmp_path):
    corpus = Folder(str(write_sounds(tmp_path / "sounds", *names)), group=GROUPS[kind])
    groups = [{clip.group for clip in corpus.clips(split)} for split in ("train", "val", "test")]
    assert all(groups) and len(set.union(*groups)) == sum(map(len, groups)) == 8


def test_what_the_user_gives_comes_last_and_wins():
    arguments = expand(
        ["fit", "--sounds=x", "--no-groups", "--config", "mine.yaml", "--trainer.default_root_dir=y"]
    )
    assert arguments[0] == "fit" and arguments[-1] == "--trainer.default_root_dir=y"
    assert [a for a in arguments if a.startswith("--config")] == ["--config"]
    assert expand(["fit", "--config", "mine.yaml"]) == ["fit", "--config", "mine.yaml"]
