"""Evaluation sets of TAU Urban Acoustic Scenes: clips whose labels stay with the jury of the challenge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.data.corpus import Clip, FileCorpus, Split
from train.data.datasets.tau2022 import SCENES
from train.data.tables import corpus_folder, read_table

_SOURCE = "https://dcase.community (Task 1, evaluation dataset)"


class TAUEvaluation(FileCorpus):
    """An evaluation set of TAU Urban Acoustic Scenes (2020, 2022, 2024 or 2025 mobile), to ``predict``.

    All clips are in the test split, none of them has a label. ``evaluation_setup/fold1_test.csv``
    (tab-separated) names them in the column ``filename``, since 2025 with the recorder in ``device_id``;
    where it is not there, ``meta.csv`` does (the baseline of 2024 reads that).

    Args:
        root: the folder that holds ``audio`` and ``evaluation_setup``; by default what the environment
            variable ``TAU_EVALUATION_DIR`` says.
    """

    labels = SCENES

    def __init__(self, root: str | None = None) -> None:
        self.root = corpus_folder(
            root, "TAU_EVALUATION_DIR", name="TAU evaluation set",
            holds="audio/ and evaluation_setup/fold1_test.csv", source=_SOURCE,
        )  # fmt: skip
        self.licence = f"TAU Urban Acoustic Scenes: non-commercial use only, Tampere University, {_SOURCE}"

    def clips(self, split: Split) -> Sequence[Clip]:
        """The clips of the list; none to train or choose by."""
        if split != "test":
            return []
        path, meta = self.root / "evaluation_setup" / "fold1_test.csv", self.root / "meta.csv"
        path = meta if meta.is_file() and not path.is_file() else path
        rows = read_table(path, {"filename"}, delimiter="\t", remedy=f"get it from {_SOURCE}")
        return [
            Clip(id=row["filename"], targets=None, group=row["filename"], device=row.get("device_id") or "")
            for row in rows
        ]

    def path(self, clip: Clip) -> Path:
        """A clip's id is its place in the folder."""
        return self.root / clip.id

    def describe(self) -> dict[str, Any]:
        """The name of its folder."""
        return {"corpus": f"TAU evaluation set {self.root.name}"}
