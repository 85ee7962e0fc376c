"""Which files are one recording, by their names."""

from __future__ import annotations

import pytest

from export.learn.data.recordings import find_recordings
from runtime.errors import DataError


def found(*files: str, group: str | None = None):
    """The grouping that comes first, by the folder as label."""
    return find_recordings({file: file.partition("/")[0] for file in files}, group)[0]


DIGITS = [f"{d}/{d}_{who}_{n}.wav" for d in range(3) for who in ("ann", "bob", "eve") for n in range(4)]
SESSIONS = [f"{c}/{c}_20261125T10{m}00_{n:03}.wav" for c in ("cat", "dog") for m in (10, 40) for n in (1, 2)]
TIMES = ("01 10-00", "01 10-04", "02 10-00", "02 10-04")  # four minutes apart, on two days
PHONE = [f"{c}/Recording 2026-11-{time}-00.m4a" for c in ("cat", "dog") for time in TIMES]


@pytest.mark.parametrize(
    ("files", "kind", "count"),
    [
        (DIGITS, "speaker", 3),
        (SESSIONS, "time", 4),
        (PHONE, "time", 4),
        (["cat/street/1.wav", "cat/street/2.wav", "cat/yard/1.wav", "dog/yard/1.wav"], "folder", 3),
        (["cat/attic_1.wav", "cat/attic_2.wav", "cat/barn_1.wav", "dog/barn_1.wav"], "name", 3),
        (["cat/1-30226-A-0.ogg", "cat/1-30226-B-0.ogg", "cat/1-40000-A-0.ogg", "dog/2-1-A.ogg"], "name", 3),
        (["cat/cat1.wav", "cat/cat2.wav", "dog/dog1.wav", "dog/dog2.wav"], "file", 4),
        (["cat/attic.wav", "cat/barn.wav", "dog/field.wav"], "file", 3),
        ([f"{c}/{place}.wav" for c in ("cat", "dog") for place in ("attic", "barn", "den")], "speaker", 3),
        ([f"{c}/rec0{n}.wav" for c in ("cat", "dog") for n in range(4)], "file", 8),
    ],
)
def test_names_show_recordings(files, kind, count):
    recordings = found(*files)
    assert (recordings.kind, recordings.count) == (kind, count)
    assert set(recordings.of_file) == set(files)


def test_captures_of_one_session_are_one_recording_in_every_class():
    recordings = found(
        "cat/cat_20261126T230000_231742.wav",
        "cat/cat_20261126T230000_231742-2.wav",
        "dog/dog_20261126T230000_232000.wav",
        "dog/dog_20261127T080000_081500.wav",
        "dog/dog_20261127T080000_001.wav",  # a take of `record`, by chance of the same second
        "cat/cat_20261127T080000_001.wav",
    )
    assert recordings.kind == "time" and recordings.count == 3
    assert len({recordings.of_file[file] for file in recordings.of_file if "1126" in file}) == 1


def test_speakers_of_all_classes_are_one_recording_each():
    of_file = found(*DIGITS).of_file
    assert of_file["0/0_ann_1.wav"] == of_file["2/2_ann_3.wav"] != of_file["0/0_bob_1.wav"]


def test_the_user_says_otherwise():
    assert found(*DIGITS, group="file").count == len(DIGITS)
    assert found(*DIGITS, group="_([a-z])").count == 3
    with pytest.raises(DataError, match="--group time finds nothing"):
        found(*DIGITS, group="time")
