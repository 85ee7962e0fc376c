"""Custom data: a folder of class folders, or a folder without labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch.utilities import rank_zero_warn

from runtime.audio.decode import AUDIO_SUFFIXES
from runtime.errors import DataError
from train.data.audio_files import class_folders, convert, find_audio, in_words
from train.data.classes import clean_label
from train.data.corpus import Clip
from train.data.datasets.held_out import HeldOut, group_finder


class Folder(HeldOut):
    """A folder of class folders: ``ROOT/LABEL/anything/below.wav``.

    Args:
        root: the folder.
        group: regular expression that finds a recording's name in the path below ``root`` (its first
            bracketed part, or all that matches): ``([^/]+)_[0-9]+[.]wav`` for recording_part.wav.
        no_groups: every file is a recording of its own.
        val_share: share of the recordings that the test split leaves, to choose checkpoints and temperature
            by: 0.1 is 8 % of all where ``test_share`` is 0.2.
        test_share: share of the recordings to report on.
        seed: another seed splits differently.
        licence: of the audio.
        exclude: names of folders in ``root`` that are no classes, such as one of negatives.
    """

    least_classes: ClassVar[int] = 2

    def __init__(
        self,
        root: str,
        group: str | None = None,
        no_groups: bool = False,
        val_share: float = 0.1,
        test_share: float = 0.2,
        seed: int = 0,
        licence: str = "not stated",
        exclude: Sequence[str] = (),
    ) -> None:
        super().__init__(Path(root), f"folder {Path(root).name}", val_share, test_share, seed, licence)
        self.group, self._group_of = group, group_finder(group, no_groups)
        folders = [folder for folder in class_folders(self.root) if folder.name not in exclude]
        if len(folders) < self.least_classes:
            raise DataError(_no_class_folders(self.root))
        self.labels = tuple(clean_label(folder.name) for folder in folders)
        self._folders = dict(zip(self.labels, folders, strict=True))
        if len(self._folders) < len(folders):
            twice = next(name for name in self.labels if self.labels.count(name) > 1)
            raise DataError(f"{root} has two class folders named '{twice}', but for spaces: rename one.")

    def all_clips(self) -> list[Clip]:
        """By label and path."""
        return [
            Clip(id=name, targets=(target,), group=self._group_of(name))
            for target, label in enumerate(self.labels)
            for name in self._found[label]
        ]

    @cached_property
    def _found(self) -> dict[str, list[str]]:
        """The names of the audio files of each class."""
        others: Counter[str] = Counter()
        names: dict[str, list[str]] = {}
        class_of: dict[str, str] = {}  # of a file, by where it really lies
        for label, folder in self._folders.items():
            found = find_audio(folder, self.root)
            if not found.files:
                remedy = convert(found.others) or "fill it or remove it"
                raise DataError(
                    f"The class folder {folder} holds no audio file{_in_brackets(found.others)}: {remedy}."
                )
            others += found.others
            names[label] = found.names
            for place, name in found.files.items():
                if place in class_of:
                    raise DataError(
                        f"{name} is a file of the class '{class_of[place]}', too ({place}): remove one of "
                        "the links."
                    )
                class_of[place] = label
        _warn_of_others(self.root, others)
        return names

    def describe(self) -> dict[str, Any]:
        """Shares, seed and how recordings were found."""
        return {**super().describe(), "group": self.group}


class Unlabelled(HeldOut):
    """A folder of audio without labels, however deep its files lie.

    It serves distillation from a teacher, and ``predict``, which writes a model's predictions for the test
    split: all of the folder with ``test_share`` 1.

    Args:
        root: the folder.
        labels: class names of the teacher or the model.
        group: as of `Folder`; needed where a part is held out.
        no_groups: every file is a recording of its own.
        val_share: share of the recordings to hold out, to measure how far student and teacher agree.
        test_share: share of the recordings to predict.
        seed: another seed splits differently.
        licence: of the audio.
    """

    def __init__(
        self,
        root: str,
        labels: Sequence[str],
        group: str | None = None,
        no_groups: bool = False,
        val_share: float = 0.0,
        test_share: float = 0.0,
        seed: int = 0,
        licence: str = "not stated",
    ) -> None:
        super().__init__(Path(root), f"folder {Path(root).name}", val_share, test_share, seed, licence)
        apart = {val_share, test_share} <= {0, 1}  # nothing stands on two sides
        self.group, self._group_of = group, group_finder(group, no_groups or (group is None and apart))
        self.labels = tuple(labels)

    def all_clips(self) -> list[Clip]:
        """By path."""
        found = find_audio(self.root, self.root)
        if not found.files:
            raise DataError(
                f"{self.root} holds no audio file ({', '.join(sorted(AUDIO_SUFFIXES))}): name another."
            )
        _warn_of_others(self.root, found.others)
        return [Clip(id=name, targets=None, group=self._group_of(name)) for name in found.names]

    def describe(self) -> dict[str, Any]:
        """Shares, seed and how recordings were found."""
        return {**super().describe(), "group": self.group}


def _no_class_folders(root: Path) -> str:
    """What a folder without class folders holds instead, and what to do."""
    loose = [path for path in sorted(root.iterdir()) if path.suffix.lower() in AUDIO_SUFFIXES]
    if loose:
        return (
            f"{root} holds audio files ({loose[0].name}) and not a folder of them for each label: move them "
            f"into such folders, as {root / 'dog' / loose[0].name}, or name the folder above."
        )
    return (
        f"{root} is not a folder of class folders: it holds one folder of audio files for each label, two or "
        "more."
    )


def _in_brackets(others: Counter[str]) -> str:
    return f" (but {in_words(others)})" if others else ""


def _warn_of_others(root: Path, others: Counter[str]) -> None:
    if others:
        remedy = f"; {remedy}" if (remedy := convert(others)) else ""
        rank_zero_warn(
            f"{root} holds files that are not audio, which were left out: {in_words(others)}{remedy}."
        )
