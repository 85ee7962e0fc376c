"""Sounds of none of the classes: one recording in five is left to test with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from export.learn.data.negatives import find_negatives
from export.learn.learn import learn
from export.learn.options import Options
from runtime.errors import DataError
from tests.export.learn.sounds import write_sounds, write_tone


def test_captures_of_one_session_are_held_out_together(tmp_path):
    for hour in range(10, 16):
        for minute in (10, 20, 30):
            write_tone(tmp_path / f"x_20261126T{hour}0000_{hour}{minute}00.wav", 500, minute, 0.1)
    negatives = find_negatives([tmp_path])
    hours = {name[11:13] for name in negatives.held_out_names}
    assert negatives.files == 18 and len(negatives.held_out) == 3 * len(hours) == 6


def test_few_files_all_train(tmp_path):
    for number in range(3):
        write_tone(tmp_path / f"{number}.wav", 500, number, 0.1)
    negatives = find_negatives([tmp_path])
    assert (negatives.files, negatives.held_out) == (3, ())
    assert len(list(negatives.sounds(16_000))) == 10  # synthetic noise, of other numbers than in training


def test_unlabelled_sounds_are_checked_before_anything_is_trained(tmp_path):
    """They are a corpus together with the negatives, whose folders it tells apart by their names."""
    write_sounds(tmp_path / "sounds", 3)
    write_sounds(tmp_path, 1, ("none",))
    (tmp_path / "none").rename(tmp_path / "sounds" / "not_a_class")
    teacher = tmp_path / "teacher.pt"
    teacher.touch()
    given = Options(tmp_path / "sounds", tmp_path / "x.onnx", teacher=teacher)
    write_sounds(tmp_path / "other", 1, ("dog",))
    (tmp_path / "other" / "dog").rename(tmp_path / "other" / "not_a_class")
    for also, message in (
        ("other/not_a_class", "have the name 'not_a_class'"),
        ("absent", "--also .*absent"),
    ):
        with pytest.raises(DataError, match=message):
            learn(replace(given, also=(tmp_path / also,)), lambda line: None)


def test_a_folder_without_audio_is_refused(tmp_path):
    with pytest.raises(DataError, match="--negatives"):
        find_negatives([tmp_path])
