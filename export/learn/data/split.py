"""Splits recordings into training and held-out; an earlier split is kept."""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from export.learn.data.recordings import Recordings, find_recordings, of_table, too_few
from export.learn.data.sounds import Sounds
from runtime.errors import DataError
from runtime.files import write_beside
from train.data import Clip, Table
from train.data.corpus import Split
from train.data.hold_out import hold_out

_SHARE, _LARGER_SHARE = 0.2, 0.25  # of the recordings of each class
_MANY = 10  # recordings of the rarest class; with fewer, a fifth would be a single one
_LEAST = 3
_GROUP_FILE = ", or give --group file where every file is a recording of its own."
_FROM_ONE = (
    ", or cut a long one into files of ten seconds (`ffmpeg -i LONG.wav -f segment -segment_time 10 "
    "%03d.wav`), whose accuracy will be too high, as parts of one recording are then on both sides."
)

Splits = dict[str, Split]  # clip id to ``train`` or ``val``; the latter are held out


@dataclass(frozen=True)
class Division:
    """Which clips train and which are held out.

    Attributes:
        clips: all of them; the ids are paths below the folder of the sounds, and the groups recordings.
        label_of: clip id to label.
        splits: clip id to split.
        recordings: what makes clips one recording.
        cautions: sentences about what the split cannot show.
    """

    clips: tuple[Clip, ...]
    label_of: Mapping[str, str]
    splits: Splits
    recordings: Recordings
    cautions: tuple[str, ...] = ()

    def of(self, split: Split) -> list[Clip]:
        """The clips of a split."""
        return [clip for clip in self.clips if self.splits[clip.id] == split]

    def count(self, split: Split) -> Counter[str]:
        """Label to number of recordings in a split."""
        return Counter(label for label, _ in {(self.label_of[c.id], c.group) for c in self.of(split)})


def divide(sounds: Sounds, test: Sounds | None, group: str | None, before: Splits, seed: int) -> Division:
    """Find the recordings and hold some out.

    Args:
        sounds: all clips; the splits of a table are taken as they are.
        test: clips to test on, so that all of ``sounds`` train.
        group: what makes files one recording, see `find_recordings`.
        before: the splits of an earlier run, whose recordings stay where they were, so that old and new
            models are tested on what neither was trained on.
        seed: another seed splits differently.

    Raises:
        DataError: where a class has too few recordings to hold any out.
    """
    least = 1 if test or sounds.splits else _LEAST
    recordings, cautions = choose_recordings(sounds, group, least)
    clips = [replace(clip, group=recordings.of_file[clip.id]) for clip in sounds.clips]
    label_of = {clip.id: sounds.label(clip) for clip in clips}
    splits: Splits
    if test is not None:
        splits = {clip.id: "train" for clip in clips}
        clips += _test_clips(test, sounds)
        label_of |= {clip.id: sounds.labels[clip.target] for clip in clips if clip.id not in splits}
        splits |= {clip.id: "val" for clip in clips if clip.id not in splits}
    elif sounds.splits:
        splits = {clip.id: "train" if sounds.splits[clip.id] == "train" else "val" for clip in clips}
    else:
        splits = _hold_out(clips, label_of, before, seed)
    division = Division(tuple(clips), label_of, splits, recordings, tuple(cautions))
    _refuse_missing(division, sounds)
    return division


def choose_recordings(sounds: Sounds, group: str | None, least: int) -> tuple[Recordings, list[str]]:
    """Which clips are of one recording, and sentences of caution.

    Raises:
        DataError: where a class has fewer than ``least`` recordings.
    """
    files = {clip.id: sounds.label(clip) for clip in sounds.clips}
    if sounds.grouped and group is None:
        found = [of_table((clip.id, clip.group) for clip in sounds.clips)]
    else:
        found = find_recordings(files, group)
    best = next((recordings for recordings in found if not too_few(recordings, files, least)), None)
    if best is None:
        raise DataError(_refusal(sounds, found[-1], files, least))
    if best is found[0]:
        return best, []
    return best, [
        f"The names suggest fewer recordings ({found[0].rule}), but too few to hold whole ones out: the test "
        "may hold parts of recordings that were trained on, and its accuracy is then too high. Record the "
        "classes on another day, too."
    ]


def _refusal(sounds: Sounds, recordings: Recordings, files: Mapping[str, str], least: int) -> str:
    label = too_few(recordings, files, least)[0]
    own = [file for file, of in files.items() if of == label]
    count = len({recordings.of_file[file] for file in own})
    clips = f"{len(own)} file{'s' * (len(own) != 1)}"
    return (
        f"The class '{label}' has {clips} of {count} recording{'s' * (count != 1)}, and {least} are the "
        f"least, to train on and to test on: record more with `tinyscene record {quote(label)} --into "
        f"{quote(str(sounds.root))}`"
        + (_FROM_ONE if count == 1 == len(own) else "." if count == len(own) else _GROUP_FILE)
    )


def _test_clips(test: Sounds, sounds: Sounds) -> list[Clip]:
    """The clips of other folders, by their paths from the folder of the sounds."""
    missing = sorted(set(sounds.labels) ^ set(test.labels))
    if missing:
        raise DataError(
            f"--test {test.root} has other classes than {sounds.root} ('{missing[0]}' is in one of them "
            "alone): give folders of the same names."
        )
    from_sounds = Path(os.path.relpath(test.root.resolve(), sounds.root.resolve())).as_posix()
    target = {label: index for index, label in enumerate(sounds.labels)}
    return [
        replace(clip, id=name, targets=(target[test.label(clip)],), group=name)
        for clip in test.clips
        for name in [f"{from_sounds}/{clip.id}"]
    ]


def _hold_out(clips: list[Clip], label_of: Mapping[str, str], before: Splits, seed: int) -> Splits:
    stood: dict[str, set[Split]] = defaultdict(set)
    for clip in clips:
        if clip.id in before:
            stood[clip.group].add(before[clip.id])
    splits: Splits = {
        clip.id: "train" if "train" in stood[clip.group] else "val" for clip in clips if clip.group in stood
    }
    new = [clip for clip in clips if clip.id not in splits]
    recordings = Counter(label for label, _ in {(label_of[clip.id], clip.group) for clip in clips})
    share = _SHARE if min(recordings.values()) >= _MANY else _LARGER_SHARE
    train, held_out = hold_out(new, share, seed)
    return splits | {clip.id: "train" for clip in train} | {clip.id: "val" for clip in held_out}


def _refuse_missing(division: Division, sounds: Sounds) -> None:
    """Every class trains, and every class is tested."""
    for split, what in (("train", "to train on"), ("val", "held out")):
        present = {division.label_of[clip.id] for clip in division.clips if division.splits[clip.id] == split}
        for label in sounds.labels:
            if label not in present:
                raise DataError(
                    f"The class '{label}' has no recording {what}: record more of it, give another --seed, "
                    "or with --from the --group that the earlier model was given."
                )


def write_table(path: Path, division: Division) -> None:
    """Write path, label, group and split of every clip: what the recipe reads, and a person can.

    Raises:
        DataError: where a name is not text.
    """
    rows = [(c.id, division.label_of[c.id], c.group, division.splits[c.id]) for c in division.clips]
    try:
        with write_beside(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("path", "label", "group", "split"), *rows])
    except UnicodeEncodeError as error:
        raise DataError(
            f"The name of a file is not UTF-8 ({ascii(error.object)[:80]}): rename it."
        ) from error


def read_splits(path: Path) -> Splits:
    """The splits of a table that `write_table` wrote; those of files that are gone stay in it."""
    table = Table(str(path))
    return {clip.id: split for split in ("train", "val") for clip in table.clips(split)}
