"""What a folder of class folders, or a table, holds: its clips, and the rate and length of its files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from export.learn.front_end import Files
from runtime.audio.decode import AUDIO_SUFFIXES, AudioFile
from runtime.capture.sorting import NOT_A_CLASS
from runtime.errors import AudioError, DataError
from train.data import Clip, Folder, Table
from train.data.audio_files import ARCHIVES, class_folders, find_audio, is_system_name
from train.data.corpus import SPLITS, Split

_READ = 200  # files whose rate and length are read
_NAMED = 3
_MOST = 0.9  # share of them that have the rate of the sounds or a higher one
_ONE_SOUND_S = 1.5  # a longer file may hold several sounds
_PART_S, _SOUNDING_DB = 0.02, 25.0


@dataclass(frozen=True)
class Sounds:
    """The user's sounds.

    Attributes:
        labels: class names in the order of the targets.
        clips: all of them; the ids are paths from ``root``.
        root: the folder that the paths are relative to.
        grouped: whether a table says which clips are of one recording.
        splits: clip id to split, where a table says so.
        not_a_class: the folder of sounds of none of the classes, where there is one.
    """

    labels: tuple[str, ...]
    clips: tuple[Clip, ...]
    root: Path
    grouped: bool
    splits: dict[str, Split]
    not_a_class: Path | None = None

    def label(self, clip: Clip) -> str:
        """The class of a clip."""
        return self.labels[clip.target]

    def facts(self) -> list[tuple[str, str, str, int, int]]:
        """Path, label, group, size and time of every file: what a changed folder changes.

        Raises:
            DataError: where a file is missing.
        """
        return [
            (clip.id, self.label(clip), clip.group, *_size_and_time(self.root / clip.id, clip.id))
            for clip in self.clips
        ]

    def with_class(self, label: str, names: Sequence[str]) -> Sounds:
        """The same with more files of a class, which may be new; each is a recording of its own.

        Args:
            label: of the class.
            names: paths from ``root``.
        """
        labels = tuple(sorted({*self.labels, label}))
        clips = [replace(clip, targets=(labels.index(self.label(clip)),)) for clip in self.clips]
        clips += [Clip(id=name, targets=(labels.index(label),), group=name) for name in names]
        return replace(self, labels=labels, clips=tuple(clips))

    def files(self) -> Files:
        """The rate and the length of the files and of what sounds in them, by some of them.

        Raises:
            DataError: where none of them can be read.
        """
        read: list[tuple[int, float | None, Path]] = []
        for clip in self.clips[:: max(len(self.clips) // _READ, 1)]:
            try:
                file = AudioFile(self.root / clip.id)
            except AudioError:  # the check names it
                continue
            read.append((file.sample_rate, file.header_s, file.path))
            file.close()
        if not read:
            raise DataError(f"No audio file of {self.root} can be read: `tinyscene check-data` says why.")
        rates = sorted(rate for rate, _, _ in read)
        median_s = median([length_s for _, length_s, _ in read if length_s is not None] or [_ONE_SOUND_S + 1])
        sounds_s: list[float] = []
        if median_s <= _ONE_SOUND_S:
            short = (path for _, length_s, path in read if length_s is not None and length_s <= _ONE_SOUND_S)
            sounds_s = [sound_s for path in short if (sound_s := _sound_s(path)) is not None]
        return Files(
            rates[round((1 - _MOST) * (len(rates) - 1))], median_s, median(sounds_s) if sounds_s else None
        )


def _sound_s(path: Path) -> float | None:
    """How long a file sounds: the seconds in which it is not much quieter than where it is loudest."""
    try:
        file = AudioFile(path)
        with closing(file):
            wave = np.concatenate([block.mean(axis=1) for block in file.blocks()])
    except AudioError:
        return None
    length = max(round(_PART_S * file.sample_rate), 1)
    parts = np.pad(wave, (0, -len(wave) % length)).reshape(-1, length)
    power = np.square(parts).mean(axis=1)
    return float((power > power.max() * 10 ** (-_SOUNDING_DB / 10)).sum() * _PART_S)


def folder_facts(folder: Path) -> list[tuple[str, int, int]]:
    """Path, size and time of every audio file below a folder, as `Sounds.facts` has them of class folders.

    Raises:
        DataError: where a file is missing.
    """
    return [(name, *_size_and_time(folder / name, name)) for name in find_audio(folder, folder).names]


def _size_and_time(path: Path, name: str) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(
            f"{name} cannot be read ({error.strerror}): correct the table or the file."
        ) from error
    return stat.st_size, stat.st_mtime_ns


def read_sounds(path: Path) -> Sounds:
    """The clips of a folder of class folders, or of a table (see `train.data.Folder` and `train.data.Table`).

    Raises:
        DataError: where it is neither.
    """
    if not path.exists():
        raise DataError(
            f"There is no {path}: name a folder that holds a folder of recordings for each class, such as "
            "sounds/dog/barn.wav."
        )
    if path.is_dir():
        return _folder(path)
    if path.suffix.lower() in AUDIO_SUFFIXES:
        raise DataError(f"{path} is one recording: name the folder that holds a folder for each class.")
    if path.suffix.lower() in ARCHIVES:
        raise DataError(f"{path} is an archive: unpack it, and name the folder.")
    table = Table(str(path), no_groups=True)
    of_split: dict[Split, list[Clip]] = {split: list(table.clips(split)) for split in SPLITS}
    columns = set(table.columns)
    splits = {clip.id: split for split, clips in of_split.items() for clip in clips}
    clips = tuple(table.all_clips())
    return Sounds(table.labels, clips, table.root, "group" in columns, splits if "split" in columns else {})


class _Folder(Folder):
    """Of one class or more."""

    least_classes = 1


def _folder(path: Path) -> Sounds:
    corpus = _Folder(str(path), no_groups=True, exclude=(NOT_A_CLASS,))
    negatives = path / NOT_A_CLASS
    filled = negatives.is_dir() and bool(find_audio(negatives, negatives).files)
    clips = tuple(corpus.all_clips())
    _warn_of_inner_classes(path, corpus.labels)
    _warn_of_loose_files(path)
    return Sounds(corpus.labels, clips, path, False, {}, negatives if filled else None)


def _warn_of_inner_classes(path: Path, labels: Sequence[str]) -> None:
    """The folder above the one that was meant has a single class, whose sub-folders are the classes."""
    inner = class_folders(path)
    inner = [folder for folder in inner if folder.name != NOT_A_CLASS]
    if len(labels) != 1 or len(inner) != 1:
        return
    names = [folder.name for folder in class_folders(inner[0])]
    if len(names) > 1:
        warnings.warn(
            f"{path} has the one class '{labels[0]}': if its folders, such as {names[0]} and {names[1]}, are "
            f"the classes, name {inner[0]}.",
            stacklevel=2,
        )


def _warn_of_loose_files(path: Path) -> None:
    """Sounds and archives that lie beside the class folders, and are of no class."""
    kinds = {*AUDIO_SUFFIXES, *ARCHIVES}
    loose = sorted(p.name for p in path.iterdir() if p.suffix.lower() in kinds and p.is_file())
    loose = [name for name in loose if not is_system_name(name, folder=False)]
    if loose:
        more = f" and {len(loose) - _NAMED} more" if len(loose) > _NAMED else ""
        warnings.warn(
            "Files beside the class folders are of no class and were left out: "
            f"{', '.join(loose[:_NAMED])}{more}.",
            stacklevel=2,
        )
