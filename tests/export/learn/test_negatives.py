"""Sounds of none of the classes: one recording in five is left to test with."""

from __future__ import annotations

import pytest

from export.learn.data.negatives import find_negatives
from runtime.errors import DataError
from tests.export.learn.sounds import write_tone


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


def test_a_folder_without_audio_is_refused(tmp_path):
    with pytest.raises(DataError, match="--negatives"):
        find_negatives([tmp_path])
