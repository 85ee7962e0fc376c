"""Custom data: a table of files and labels."""

from __future__ import annotations

import posixpath
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar

from runtime.errors import DataError
from train.data.classes import clean_label
from train.data.corpus import SPLITS, Clip, Split
from train.data.datasets.held_out import HeldOut
from train.data.tables import read_table
from train.suggestions import nearest


class Table(HeldOut):
    """A table of files and labels: the columns ``path`` and ``label``.

    Where they are known also ``group`` (the recording), ``device``, ``city`` and ``split``.

    Args:
        path: the table, with commas, semicolons or tabs between its cells.
        root: folder that its paths are relative to; by default the table's own.
        columns: what the table calls those columns, where not by these names: ``{path: file, group: take}``.
        no_groups: every file is a recording of its own, where the table has neither ``group`` nor ``split``.
        val_share: share of the groups that the test split leaves, to choose checkpoints by, where there is no
            column ``split``.
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
        for row in self._rows:
            row[self.path_column] = _on_disk(self.root, row[self.path_column])
        names = Counter(posixpath.normpath(row[self.path_column]) for row in self._rows)
        if twice := next((name for name, n in names.items() if n > 1), None):
            raise DataError(f"{path} lists {twice} more than once: keep one row for each file.")
        strange = sorted({row["split"] for row in self._rows if "split" in row} - set(SPLITS))
        if strange:
            raise DataError(f"{path} has the split {strange[0]!r}: the splits are {', '.join(SPLITS)}.")
        self.labels = tuple(sorted({name for row in self._rows for name in self.labels_of(row) or ()}))
        if self.task == "single_label" and len(self.labels) < 2:
            raise DataError(
                f"{path} has one label, '{self.labels[0]}': a classifier needs two or more to choose from."
            )

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it has, by the names used here."""
        return frozenset(self._rows[0])

    def _read(self, columns: Mapping[str, str]) -> list[dict[str, str]]:
        """The rows, with the columns called as here."""
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
        return (clean_label(row[self.label_column]),)

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


def _on_disk(root: Path, name: str) -> str:
    """A path of a table as the disk has it: the table may come from Windows, or the files from macOS.

    Windows writes backslashes; macOS decomposes accents in the names of files and finds them either way.
    """
    if _exists(root / name):
        return name
    found = ""
    for part in PurePosixPath(slashes := name.replace("\\", "/")).parts:
        forms = (part, *(unicodedata.normalize(form, part) for form in ("NFC", "NFD")))
        existing = (path for form in forms if _exists(root / (path := posixpath.join(found, form))))
        if (found := next(existing, "")) == "":
            return slashes
    return found


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # as for a name that is too long, which the attempt to read it reports
        return False
