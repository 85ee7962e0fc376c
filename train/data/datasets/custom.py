"""Data of one's own: a folder of class folders, a folder without labels, or a table of files and labels.

Which clips come from one recording has to be said: clips of one recording on both sides of a split make
every score a score of memory, and nothing in the numbers shows it.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from runtime.errors import DataError
from train.data.corpus import SPLITS, Clip, FileCorpus, Split
from train.data.tables import hold_out, read_table
from train.suggestions import nearest

_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif"}


class HeldOut(FileCorpus):
    """Clips that a seed splits, whole groups at a time.

    Args:
        root: folder that the clips' ids are relative to.
        name: what the corpus is called in the provenance, without where it lies.
        val_share: share of the groups to choose checkpoints and temperature by.
        test_share: share of the groups to report on.
        seed: another seed splits differently.
        licence: of the audio.
    """

    def __init__(
        self, root: Path, name: str, val_share: float, test_share: float, seed: int, licence: str
    ) -> None:
        self.root, self.name, self.licence = root, name, licence
        self.val_share, self.test_share, self.seed = val_share, test_share, seed

    @abstractmethod
    def all_clips(self) -> list[Clip]:
        """The clips of all splits, in a stable order."""

    def clips(self, split: Split) -> Sequence[Clip]:
        """The clips of a split, in the order of `all_clips`."""
        return self._splits[split]

    def path(self, clip: Clip) -> Path:
        """A clip's id is its place in the folder."""
        return self.root / clip.id

    def describe(self) -> dict[str, Any]:
        """Name, shares and seed."""
        return {
            "corpus": self.name,
            "val_share": self.val_share,
            "test_share": self.test_share,
            "seed": self.seed,
        }

    @cached_property
    def _splits(self) -> Mapping[Split, list[Clip]]:
        rest, test = hold_out(self.all_clips(), self.test_share, self.seed)
        train, val = hold_out(rest, self.val_share, self.seed + 1)
        return {"train": train, "val": val, "test": test}


class Folder(HeldOut):
    """A folder of class folders: ``ROOT/LABEL/anything/below.wav``.

    Args:
        root: the folder.
        group: regular expression that finds a recording's name in the path below ``root`` (its first
            bracketed part, or all that matches): ``([^/]+)_[0-9]+[.]wav`` for recording_part.wav.
        no_groups: every file is a recording of its own.
        val_share: share of the recordings to choose checkpoints and temperature by.
        test_share: share of the recordings to report on.
        seed: another seed splits differently.
        licence: of the audio.
    """

    def __init__(
        self,
        root: str,
        group: str | None = None,
        no_groups: bool = False,
        val_share: float = 0.1,
        test_share: float = 0.2,
        seed: int = 0,
        licence: str = "not stated",
    ) -> None:
        super().__init__(Path(root), f"folder {Path(root).name}", val_share, test_share, seed, licence)
        self.group, self._group_of = group, _group_finder(group, no_groups)
        self._folders = sorted(p for p in self.root.glob("*") if p.is_dir() and not p.name.startswith("."))
        if len(self._folders) < 2:
            raise DataError(
                f"{root} is not a folder of class folders: it holds one folder of audio files for each label."
            )
        self.labels = tuple(folder.name for folder in self._folders)

    def all_clips(self) -> list[Clip]:
        """By label and path."""
        clips = []
        for target, folder in enumerate(self._folders):
            names = _audio_files(folder, self.root)
            if not names:
                raise DataError(f"The class folder {folder} holds no audio file: fill it or remove it.")
            clips += [Clip(id=name, targets=(target,), group=self._group_of(name)) for name in names]
        return clips

    def describe(self) -> dict[str, Any]:
        """Shares, seed and how recordings were found."""
        return {**super().describe(), "group": self.group}


class Unlabelled(HeldOut):
    """Any folder of audio, whatever lies how deep in it; nobody has labelled it.

    To distil from a teacher who knows the labels, or to write a model's answers with ``predict``, which takes
    the test split: all of it with ``test_share`` 1.

    Args:
        root: the folder.
        labels: class names that the teacher or the model knows.
        group: as of `Folder`; needed where a part is held out.
        no_groups: every file is a recording of its own.
        val_share: share of the recordings to hold out, to watch how far student and teacher agree.
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
        self.group, self._group_of = group, _group_finder(group, no_groups or (group is None and apart))
        self.labels = tuple(labels)

    def all_clips(self) -> list[Clip]:
        """By path."""
        names = _audio_files(self.root, self.root)
        if not names:
            raise DataError(
                f"{self.root} holds no audio file ({', '.join(sorted(_SUFFIXES))}): name another."
            )
        return [Clip(id=name, targets=None, group=self._group_of(name)) for name in names]

    def describe(self) -> dict[str, Any]:
        """Shares, seed and how recordings were found."""
        return {**super().describe(), "group": self.group}


def _audio_files(folder: Path, root: Path) -> list[str]:
    """Paths below ``root`` of all audio files of a folder, sorted."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    return [path.relative_to(root).as_posix() for path in found]


def _group_finder(group: str | None, no_groups: bool) -> Callable[[str], str]:
    """What finds a recording's name in a path."""
    if (group is None) != no_groups:
        raise DataError(
            "Say which files come from one recording: data.corpus.group is a regular expression that "
            "finds the recording's name in a path; or data.corpus.no_groups, where every file is one."
        )
    if group is None:
        return str
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise DataError(f"data.corpus.group is no regular expression ({error}): mend {group!r}.") from error

    def find(name: str) -> str:
        found = pattern.search(name)
        if not found:
            raise DataError(f"data.corpus.group ({group}) finds nothing in {name}: mend it.")
        return found[1] if pattern.groups else found[0]

    return find


class Table(HeldOut):
    """A table of files and labels: the columns ``path`` and ``label``.

    Where they are known also ``group`` (the recording), ``device``, ``city`` and ``split``.

    Args:
        path: the table, with commas, semicolons or tabs between its cells.
        root: folder that its paths are relative to; by default the table's own.
        columns: what the table calls those columns, where not by these names: ``{path: file, group: take}``.
        no_groups: every file is a recording of its own, where the table has neither ``group`` nor ``split``.
        val_share: share of the groups to choose checkpoints by, where there is no column ``split``.
        test_share: share of the groups to report on, where there is no column ``split``.
        seed: another seed splits differently.
        licence: of the audio.
    """

    path_column: ClassVar[str] = "path"
    label_column: ClassVar[str] = "label"
    may_be_empty: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        path: str,
        root: str | None = None,
        columns: dict[str, str] | None = None,
        no_groups: bool = False,
        val_share: float = 0.1,
        test_share: float = 0.2,
        seed: int = 0,
        licence: str = "not stated",
    ) -> None:
        self.table = Path(path)
        folder = Path(root) if root else self.table.parent
        super().__init__(folder, f"table {self.table.name}", val_share, test_share, seed, licence)
        self._rows = self._read(columns or {})
        if not (no_groups or {"group", "split"} & set(self._rows[0])):
            raise DataError(
                f"{path} does not say which files come from one recording: add a column 'group' "
                "(or 'split'), or set data.corpus.no_groups where every file is one."
            )
        names = Counter(row[self.path_column] for row in self._rows)
        if twice := next((name for name, n in names.items() if n > 1), None):
            raise DataError(f"{path} lists {twice} more than once: keep one row for each file.")
        strange = sorted({row["split"] for row in self._rows if "split" in row} - set(SPLITS))
        if strange:
            raise DataError(f"{path} has the split {strange[0]!r}: the splits are {', '.join(SPLITS)}.")
        self.labels = tuple(sorted({name for row in self._rows for name in self.labels_of(row) or ()}))

    def _read(self, columns: Mapping[str, str]) -> list[dict[str, str]]:
        """The rows, by our names of the columns."""
        known = (self.path_column, self.label_column, "group", "device", "city", "split")
        if strange := next((name for name in columns if name not in known), None):
            raise DataError(f"data.corpus.columns has no '{strange}': {nearest(strange, known)}")
        called = {name: columns.get(name, name) for name in known}
        rows = read_table(
            self.table, {called[self.path_column], called[self.label_column], *columns.values()},
            may_be_empty=[called[name] for name in known if name in self.may_be_empty or name in known[2:]],
            delimiter=None,
            remedy=f"it has a header, the columns {called[self.path_column]} and {called[self.label_column]} "
            "(or what data.corpus.columns calls them), and perhaps group, device, city and split",
        )  # fmt: skip
        return [{name: row[column] for name, column in called.items() if column in row} for row in rows]

    def labels_of(self, row: Mapping[str, str]) -> tuple[str, ...] | None:
        """The labels of a row; None where nobody labelled it."""
        return (row[self.label_column],)

    def all_clips(self) -> list[Clip]:
        """In the order of the table."""
        return [self._clip(row) for row in self._rows]

    def clips(self, split: Split) -> Sequence[Clip]:
        """The clips of a split, in the order of the table; as the table says, where it does."""
        if "split" not in self._rows[0]:
            return super().clips(split)
        return [self._clip(row) for row in self._rows if row["split"] == split]

    def _clip(self, row: Mapping[str, str]) -> Clip:
        names, path = self.labels_of(row), row[self.path_column]
        place = self._place_of_label
        return Clip(
            id=path,
            targets=None if names is None else tuple(sorted({place[name] for name in names})),
            group=row.get("group") or path,
            device=row.get("device") or "",
            city=row.get("city") or "",
        )

    @cached_property
    def _place_of_label(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.labels)}
