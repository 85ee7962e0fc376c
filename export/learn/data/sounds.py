"""What a folder of class folders, or a table, holds: its clips, and the sample rate of its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.audio.decode import AudioFile
from runtime.capture.sorting import NOT_A_CLASS
from runtime.errors import AudioError, DataError
from train.data import Clip, Folder, Table
from train.data.audio_files import find_audio
from train.data.corpus import SPLITS, Split

_HEADERS = 200  # files whose sample rate is read
_MOST = 0.9  # share of them that have the rate of the sounds or a higher one


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

    def rate(self) -> int:
        """The sample rate, Hz, that nine files of ten have or exceed, by the headers of some of them.

        Raises:
            DataError: where none of them can be read.
        """
        rates: list[int] = []
        for clip in self.clips[:: max(len(self.clips) // _HEADERS, 1)]:
            try:
                file = AudioFile(self.root / clip.id)
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
        DataError: where it is neither.
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
    return Sounds(table.labels, clips, table.root, "group" in columns, splits if "split" in columns else {})


class _Folder(Folder):
    """Of one class or more."""

    least_classes = 1


def _folder(path: Path) -> Sounds:
    corpus = _Folder(str(path), no_groups=True, exclude=(NOT_A_CLASS,))
    negatives = path / NOT_A_CLASS
    filled = negatives.is_dir() and bool(find_audio(negatives, negatives).files)
    clips = tuple(corpus.all_clips())
    return Sounds(corpus.labels, clips, path, False, {}, negatives if filled else None)
