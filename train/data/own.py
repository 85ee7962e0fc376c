"""Data of one's own: a folder of class folders, or a table of files and labels.

Which clips come from one recording has to be said: clips of one recording on both sides of a split make
every score a score of memory, and nothing in the numbers shows it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from runtime.errors import DataError
from train.data.corpus import SPLITS, Clip, FileCorpus, Split
from train.data.tables import hold_out, read_table

_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif"}


class _HeldOut(FileCorpus):
    """Clips that a seed splits, whole groups at a time.

    Attributes:
        root: folder that the clips' ids are relative to.
        val_share: share of the groups to choose checkpoints and temperature by.
        test_share: share of the groups to report on.
        seed: another seed splits differently.
    """

    root: Path
    val_share: float
    test_share: float
    seed: int

    def path(self, clip: Clip) -> Path:
        """A clip's id is its place in the folder."""
        return self.root / clip.id

    def _split(self, clips: Sequence[Clip]) -> dict[Split, list[Clip]]:
        rest, test = hold_out(clips, self.test_share, self.seed)
        train, val = hold_out(rest, self.val_share, self.seed + 1)
        return {"train": train, "val": val, "test": test}


class Folder(_HeldOut):
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
        self.root, self.licence = Path(root), licence
        self.val_share, self.test_share, self.seed = val_share, test_share, seed
        if (group is None) != no_groups:
            raise DataError(
                "Say which files come from one recording: data.corpus.group is a regular expression that "
                "finds the recording's name in a path; or data.corpus.no_groups, where every file is one."
            )
        try:
            self._group = re.compile(group) if group is not None else None
        except re.error as error:
            raise DataError(
                f"data.corpus.group is no regular expression ({error}): mend {group!r}."
            ) from error
        self._folders = sorted(p for p in self.root.glob("*") if p.is_dir() and not p.name.startswith("."))
        if len(self._folders) < 2:
            raise DataError(
                f"{root} is not a folder of class folders: it holds one folder of audio files for each label."
            )
        self.labels = tuple(folder.name for folder in self._folders)

    def clips(self, split: Split) -> Sequence[Clip]:
        """The clips of a split, by label and path."""
        return self._splits[split]

    def describe(self) -> dict[str, Any]:
        """Shares and seed; the folder's name, but not where it lies."""
        return {
            "corpus": f"folder {self.root.name}",
            "group": self._group.pattern if self._group else None,
            "val_share": self.val_share,
            "test_share": self.test_share,
            "seed": self.seed,
        }

    @cached_property
    def _splits(self) -> dict[Split, list[Clip]]:
        clips = []
        for target, folder in enumerate(self._folders):
            paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
            if not paths:
                raise DataError(f"The class folder {folder} holds no audio file: fill it or remove it.")
            names = [path.relative_to(self.root).as_posix() for path in paths]
            clips += [Clip(id=name, targets=(target,), group=self._group_of(name)) for name in names]
        return self._split(clips)

    def _group_of(self, name: str) -> str:
        if self._group is None:
            return name
        found = self._group.search(name)
        if not found:
            raise DataError(f"data.corpus.group ({self._group.pattern}) finds nothing in {name}: mend it.")
        return found[1] if self._group.groups else found[0]


class Table(_HeldOut):
    """A table of files and labels: the columns ``path`` and ``label``.

    Where they are known also ``group`` (the recording), ``device``, ``city`` and ``split``.

    Args:
        path: the table, comma-separated, or tab-separated where it is called ``.tsv``.
        root: folder that its paths are relative to; by default the table's own.
        no_groups: every file is a recording of its own, where the table has neither ``group`` nor ``split``.
        val_share: share of the groups to choose checkpoints by, where there is no column ``split``.
        test_share: share of the groups to report on, where there is no column ``split``.
        seed: another seed splits differently.
        licence: of the audio.
    """

    def __init__(
        self,
        path: str,
        root: str | None = None,
        no_groups: bool = False,
        val_share: float = 0.1,
        test_share: float = 0.2,
        seed: int = 0,
        licence: str = "not stated",
    ) -> None:
        self.table, self.licence = Path(path), licence
        self.root = Path(root) if root else self.table.parent
        self.val_share, self.test_share, self.seed = val_share, test_share, seed
        self._rows = read_table(
            self.table, {"path", "label"}, delimiter="\t" if self.table.suffix == ".tsv" else ",",
            remedy="it has a header, the columns path and label, and perhaps group, device, city and split",
        )  # fmt: skip
        if not (no_groups or {"group", "split"} & set(self._rows[0])):
            raise DataError(
                f"{path} does not say which files come from one recording: add a column 'group' "
                "(or 'split'), or set data.corpus.no_groups where every file is one."
            )
        twice = next((name for name, n in Counter(row["path"] for row in self._rows).items() if n > 1), None)
        if twice:
            raise DataError(f"{path} lists {twice} more than once: keep one row for each file.")
        self.labels = tuple(sorted({row["label"] for row in self._rows}))
        self._splits = self._official() if "split" in self._rows[0] else self._split(self._clips(self._rows))

    def clips(self, split: Split) -> Sequence[Clip]:
        """The clips of a split, in the order of the table."""
        return self._splits[split]

    def describe(self) -> dict[str, Any]:
        """The table's name, but not where it lies; shares and seed."""
        return {
            "corpus": f"table {self.table.name}",
            "val_share": self.val_share,
            "test_share": self.test_share,
            "seed": self.seed,
        }

    def _official(self) -> dict[Split, list[Clip]]:
        """The splits that the table itself names."""
        strange = sorted({row["split"] for row in self._rows} - set(SPLITS))
        if strange:
            raise DataError(f"{self.table} has the split {strange[0]!r}: the splits are {', '.join(SPLITS)}.")
        return {split: self._clips([r for r in self._rows if r["split"] == split]) for split in SPLITS}

    def _clips(self, rows: Sequence[dict[str, str]]) -> list[Clip]:
        return [
            Clip(
                id=row["path"],
                targets=(self.labels.index(row["label"]),),
                group=row.get("group") or row["path"],
                device=row.get("device") or "",
                city=row.get("city") or "",
            )
            for row in rows
        ]
