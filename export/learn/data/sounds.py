"""What a folder of class folders, or a table, holds: its clips, and the sample rate of its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runtime.audio.decode import AudioFile
from runtime.capture.sorting import NOT_A_CLASS
from runtime.errors import AudioError, DataError
from train.data import Clip, Folder, Table
from train.data.audio_files import class_folders, find_audio
from train.data.corpus import SPLITS, FileCorpus, Split

_HEADERS = 200  # files whose sample rate is read
_MOST = 0.9  # share of them that have the rate of the sounds or a higher one


@dataclass(frozen=True)
class Sounds:
    """The user's sounds.

    Attributes:
        corpus: reads them; its own splits are not used.
        clips: all of them; the ids are paths below ``root``.
        root: the folder that the paths are relative to.
        grouped: whether a table says which clips are of one recording.
        splits: clip id to split, where a table says so.
        not_a_class: the folder of sounds of none of the classes, where there is one.
    """

    corpus: FileCorpus
    clips: tuple[Clip, ...]
    root: Path
    grouped: bool
    splits: dict[str, Split]
    not_a_class: Path | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the targets."""
        return self.corpus.labels

    def label(self, clip: Clip) -> str:
        """The class of a clip."""
        return self.labels[clip.target]

    def facts(self) -> list[tuple[str, str, str, int, int]]:
        """Path, label, group, size and time of every file: what a changed folder changes.

        Raises:
            DataError: where a file is missing.
        """
        return [
            (clip.id, self.label(clip), clip.group, *_size_and_time(self.corpus.path(clip), clip.id))
            for clip in self.clips
        ]

    def rate(self) -> int:
        """The sample rate, Hz, that nine files of ten have or exceed, by the headers of some of them.

        Raises:
            DataError: where none of them can be read.
        """
        rates: list[int] = []
        for clip in self.clips[:: max(len(self.clips) // _HEADERS, 1)]:
            try:
                file = AudioFile(self.corpus.path(clip))
            except AudioError:  # the check names it
                continue
            rates.append(file.sample_rate)
            file.close()
        if not rates:
            raise DataError(f"No audio file of {self.root} can be read: `tinyscene check-data` says why.")
        return sorted(rates)[round((1 - _MOST) * (len(rates) - 1))]


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
        DataError: where it is neither, or has fewer than two classes.
    """
    if not path.exists():
        raise DataError(
            f"There is no {path}: name a folder that holds a folder of recordings for each class, such as "
            "sounds/dog/barn.wav."
        )
    if path.is_dir():
        return _folder(path)
    table = Table(str(path), no_groups=True)
    of_split: dict[Split, list[Clip]] = {split: list(table.clips(split)) for split in SPLITS}
    columns = set(table.columns)
    splits = {clip.id: split for split, clips in of_split.items() for clip in clips}
    clips = tuple(table.all_clips())
    return Sounds(table, clips, table.root, "group" in columns, splits if "split" in columns else {})


def _folder(path: Path) -> Sounds:
    names = [folder.name for folder in class_folders(path) if folder.name != NOT_A_CLASS]
    if len(names) == 1:
        raise DataError(
            f"{path} has one class, '{names[0]}', and a classifier chooses between two or more: add a folder "
            "of other sounds, such as background."
        )
    corpus = Folder(str(path), no_groups=True, exclude=(NOT_A_CLASS,))
    negatives = path / NOT_A_CLASS
    filled = negatives.is_dir() and bool(find_audio(negatives, negatives).files)
    return Sounds(corpus, tuple(corpus.all_clips()), path, False, {}, negatives if filled else None)
