"""ESC-50 and ESC-10 in their official layout: ``meta/esc50.csv`` beside ``audio/``.

Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015. Clips cut from one
Freesound recording lie in one fold, so whole folds make splits that do not leak.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from train.data.corpus import Clip, FileCorpus, Split
from train.data.tables import corpus_folder, read_table

_COLUMNS = {"filename", "fold", "target", "category", "esc10", "src_file"}
_SOURCE = "https://github.com/karolpiczak/ESC-50"


class ESC50(FileCorpus):
    """ESC-50, or its ten-class subset ESC-10.

    Args:
        root: the folder that holds ``meta`` and ``audio``; by default what the environment variable
            ``ESC10_DIR`` (with ``esc10``) or ``ESC50_DIR`` says.
        esc10: take the ten classes of ESC-10 alone.
        train_folds: official folds to learn from.
        val_folds: official folds to choose checkpoints and temperature by; may be empty.
        test_folds: official folds to report on.
    """

    def __init__(
        self,
        root: str | None = None,
        esc10: bool = False,
        train_folds: Sequence[int] = (1, 2, 3),
        val_folds: Sequence[int] = (),
        test_folds: Sequence[int] = (4,),
    ) -> None:
        variable = "ESC10_DIR" if esc10 else "ESC50_DIR"
        self.root = corpus_folder(
            root, variable, name="ESC-50", holds="meta/esc50.csv and audio/", source=_SOURCE
        )
        self.esc10 = esc10
        self.folds = {"train": tuple(train_folds), "val": tuple(val_folds), "test": tuple(test_folds)}
        names = {int(row["target"]): row["category"] for row in self._rows}
        self._targets = {target: index for index, target in enumerate(sorted(names))}
        self.labels = tuple(names[target] for target in sorted(names))
        self.licence = (
            "ESC-10: CC BY 3.0" if esc10 else "ESC-50: CC BY-NC 3.0"
        ) + f", K. J. Piczak and the Freesound authors, {_SOURCE}"

    def clips(self, split: Split) -> Sequence[Clip]:
        """The clips of the folds of a split, in the order of the table."""
        return [
            Clip(id=row["filename"], targets=(self._targets[int(row["target"])],), group=row["src_file"])
            for row in self._rows
            if int(row["fold"]) in self.folds[split]
        ]

    def path(self, clip: Clip) -> Path:
        """A file of ``audio/``."""
        return self.root / "audio" / clip.id

    def describe(self) -> dict[str, Any]:
        """Name and folds."""
        return {"corpus": "ESC-10" if self.esc10 else "ESC-50", **{k: list(v) for k, v in self.folds.items()}}

    @cached_property
    def _rows(self) -> list[dict[str, str]]:
        path = self.root / "meta" / "esc50.csv"
        rows = read_table(path, _COLUMNS, remedy=f"restore the official table from {_SOURCE}")
        return [row for row in rows if not self.esc10 or row["esc10"] == "True"]
