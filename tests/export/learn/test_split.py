"""Recordings are held out whole, and stay where they were when the folder grows."""

from __future__ import annotations

import csv

import pytest

from export.learn.data.check import check
from export.learn.data.sounds import read_sounds
from export.learn.data.split import divide, read_splits, write_table
from runtime.errors import DataError
from tests.export.learn.sounds import write_sounds, write_tone
from train.data import Table


def test_recordings_are_whole_and_every_class_is_on_both_sides(tmp_path):
    for place in "abcdef":
        for number in (1, 2):
            for label in ("bell", "dog"):
                write_tone(tmp_path / label / f"{label}_{place * 3}_{number}.wav", 500, number)
    division = divide(read_sounds(tmp_path), None, None, {}, seed=0)
    sides = {split: {clip.group for clip in division.of(split)} for split in ("train", "val")}
    assert not sides["train"] & sides["val"]
    assert division.recordings.kind == "speaker" and len(sides["val"]) == 2  # of six
    assert set(division.count("train")) == set(division.count("val")) == {"bell", "dog"}


def test_a_grown_folder_holds_out_what_it_held_out_before(tmp_path):
    write_sounds(tmp_path / "sounds", 8)
    before = divide(read_sounds(tmp_path / "sounds"), None, None, {}, seed=0)
    write_table(tmp_path / "sounds.csv", before)
    write_sounds(tmp_path / "sounds", 6, start=8)
    after = divide(read_sounds(tmp_path / "sounds"), None, None, read_splits(tmp_path / "sounds.csv"), seed=3)
    assert {name: after.splits[name] for name in before.splits} == before.splits
    new = {clip.id for clip in after.of("val")} - {clip.id for clip in before.of("val")}
    assert new and not new & set(before.splits)


def test_a_test_folder_leaves_everything_to_train_on(tmp_path):
    sounds, test = write_sounds(tmp_path / "sounds", 3), write_sounds(tmp_path / "test", 2, start=9)
    division = divide(read_sounds(sounds), read_sounds(test), None, {}, seed=0)
    write_table(tmp_path / "sounds.csv", division)
    corpus = Table(str(tmp_path / "sounds.csv"), root=str(sounds))
    assert (len(corpus.clips("train")), len(corpus.clips("val"))) == (6, 4)
    assert all(corpus.path(clip).is_file() for clip in corpus.clips("val"))
    assert not any(clip.id.startswith("/") for clip in corpus.clips("val"))  # no path of this machine


def test_the_splits_and_groups_of_a_table_count(tmp_path):
    write_sounds(tmp_path, 4)
    rows = [
        (f"{label}/{name}.wav", label, "test" if name == "a" else "train")
        for label in ("bell", "dog")
        for name in "abcd"
    ]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    division = divide(read_sounds(tmp_path / "t.csv"), None, None, {}, seed=0)
    assert sorted(clip.id for clip in division.of("val")) == ["bell/a.wav", "dog/a.wav"]


def test_too_few_recordings_are_refused_with_the_command_that_records_more(tmp_path):
    root = tmp_path / "my sounds"
    write_sounds(root, 5, ("bell",))
    write_sounds(root, 2, ("dog",))
    (root / "dog").rename(root / "big dog")
    with pytest.raises(DataError) as refused:
        divide(read_sounds(root), None, None, {}, seed=0)
    for fact in ("'big dog'", "2 files", f"`tinyscene record 'big dog' --into '{root}'`"):
        assert fact in str(refused.value)


def test_a_class_that_was_wholly_trained_on_before_is_refused_with_the_group_of_then(tmp_path):
    write_sounds(tmp_path, 4)
    sounds = read_sounds(tmp_path)
    before = {clip.id: "train" for clip in divide(sounds, None, "file", {}, seed=0).clips}
    with pytest.raises(DataError, match="--group that the earlier model"):
        divide(sounds, None, "file", before, seed=0)


def test_where_names_suggest_too_few_recordings_the_files_are_split_with_a_caution(tmp_path):
    for label in ("bell", "dog"):
        for place in ("kitchen", "yard"):
            for number in range(4):
                write_tone(tmp_path / label / f"{place}_{number}.wav", 500, number)
    division = divide(read_sounds(tmp_path), None, None, {}, seed=0)
    assert division.recordings.kind == "file"
    assert "another day" in division.cautions[0]


@pytest.mark.parametrize("faulty", ["an empty class", "no folder"])
def test_what_is_no_classification_is_refused(faulty, tmp_path):
    sounds = write_sounds(tmp_path / "sounds", 4)
    if faulty == "an empty class":
        (sounds / "empty").mkdir()
    with pytest.raises(DataError) as refused:
        read_sounds(tmp_path / "absent" if faulty == "no folder" else sounds)
    assert str(refused.value).count(". ") == 0


def test_negatives_are_no_class(tmp_path):
    write_sounds(tmp_path, 3, ("bell", "dog", "none"))
    (tmp_path / "none").rename(tmp_path / "not_a_class")
    sounds = read_sounds(tmp_path)
    assert sounds.labels == ("bell", "dog") and sounds.not_a_class == tmp_path / "not_a_class"


def test_a_leak_stops_the_run_unless_told_otherwise(tmp_path):
    sounds = write_sounds(tmp_path / "sounds", 6)
    division = divide(read_sounds(sounds), None, None, {}, seed=0)
    held_out, trained = (next(c.id for c in division.of(split)) for split in ("val", "train"))
    (sounds / held_out).write_bytes((sounds / trained).read_bytes())
    write_table(tmp_path / "sounds.csv", division)
    corpus = Table(str(tmp_path / "sounds.csv"), root=str(sounds))
    with pytest.raises(DataError, match=r"leak: same samples.*--despite-findings"):
        check(corpus, 16_000, tmp_path / "check.json", go_on=False)
    assert not (tmp_path / "check.json").exists()
    examined = check(corpus, 16_000, tmp_path / "check.json", go_on=True)
    assert any("leak" in remark for remark in examined.remarks)
    assert check(corpus, 16_000, tmp_path / "check.json", go_on=False) == examined  # as it was stored
