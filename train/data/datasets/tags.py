"""Clips with any number of labels in a table, as AudioSet and FSD50K are handed around.

Gemmeke et al., "Audio Set: an ontology and human-labeled dataset for audio events", ICASSP 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from runtime.errors import DataError
from train.data.classes import clean_label
from train.data.datasets.table import Table


class Tags(Table):
    """A table of files and their labels: the columns ``filename`` and ``labels``, labels joined by ``;``.

    Where they are known also ``group`` (the recording), ``device``, ``city`` and ``split``.

    Args:
        path: the table, with commas, semicolons or tabs between its cells.
        root: folder that its file names are relative to; by default the table's own.
        columns: what the table calls those columns, where not by these names: ``{filename: fname}``.
        labels: class names in the order of the model's outputs; by default all of the table, sorted.
        empty: what an empty ``labels`` cell means: ``unlabelled``, nobody has listened to the clip;
            ``negative``, it has none of the labels. By default it is refused.
        no_groups: every file is a recording of its own, where the table has neither ``group`` nor ``split``.
        val_share: share of the groups that the test split leaves, to choose checkpoints by, where there is no
            column ``split``.
        test_share: share of the groups to report on, where there is no column ``split``.
        seed: another seed splits differently.
        licence: of the audio.
    """

    task = "multi_label"
    path_column, label_column, may_be_empty = "filename", "labels", ("labels",)

    def __init__(
        self,
        path: str,
        root: str | None = None,
        columns: dict[str, str] | None = None,
        labels: Sequence[str] | None = None,
        empty: Literal["unlabelled", "negative"] | None = None,
        no_groups: bool = False,
        val_share: float = 0.1,
        test_share: float = 0.2,
        seed: int = 0,
        licence: str = "not stated",
    ) -> None:
        self.empty = empty
        super().__init__(path, root, columns, no_groups, val_share, test_share, seed, licence)
        if labels is not None:
            strange = [name for name in self.labels if name not in labels]
            if strange:
                raise DataError(
                    f"{path} has the label '{strange[0]}', which data.corpus.labels does not name: add it "
                    "there, or take it out of the table."
                )
            self.labels = tuple(labels)
        if not self.labels:
            raise DataError(
                f"{path} names no label at all: fill the column labels or set data.corpus.labels."
            )

    def labels_of(self, row: Mapping[str, str]) -> tuple[str, ...] | None:
        """The labels of a row; None where nobody labelled it."""
        names = tuple(clean_label(name) for name in row["labels"].split(";") if name.strip())
        if not names and self.empty is None:
            raise DataError(
                f"{self.table} gives no label to {row['filename']}: say with data.corpus.empty whether "
                "nobody has listened to it (unlabelled) or it has none of the labels (negative)."
            )
        return None if not names and self.empty == "unlabelled" else names
