"""A model's predictions in the format of DCASE's ``output.csv``."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from runtime.errors import DataError
from runtime.files import write_beside
from runtime.spec import Task

FileNames = Literal["listed", "bare"]
PRESENT = 0.5  # the threshold of a label that has none of its own, as in the runtime


def write_output(
    path: str | Path,
    names: Sequence[str],
    probabilities: npt.NDArray[np.floating[Any]],
    labels: Sequence[str],
    task: Task = "single_label",
    thresholds: Mapping[str, float] | None = None,
) -> None:
    """Write one line per clip, tab-separated: its name, the prediction, and the probability of every label.

    The prediction is the likeliest label (``scene_label``), or, where a clip may have several, all labels
    that reach their thresholds, separated by semicolons (``labels``).

    Args:
        path: the file.
        names: of the clips.
        probabilities: [clips, classes].
        labels: class names.
        task: of the corpus.
        thresholds: label to the probability from which it is predicted, where a clip may have several.
    """
    single = task == "single_label"
    reached = np.array([(thresholds or {}).get(label, PRESENT) for label in labels])
    with write_beside(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(("filename", "scene_label" if single else "labels", *labels))
        for name, row in zip(names, probabilities, strict=True):
            chosen: list[int] = [int(row.argmax())] if single else np.flatnonzero(row >= reached).tolist()
            # all digits of a float32, not six decimals: challenges take the logarithm of these values
            writer.writerow((name, ";".join(labels[i] for i in chosen), *(f"{value:.9g}" for value in row)))


def file_names(ids: Sequence[str], form: FileNames) -> list[str]:
    """The names of clips in ``output.csv``.

    DCASE 2022, 2023 and 2025 take the names of the evaluation list, ``audio/0.wav``; the baseline of 2024
    writes them without the folder.

    Args:
        ids: of the clips, which are the names that the corpus lists.
        form: ``listed`` leaves them unchanged, ``bare`` removes the folders.

    Raises:
        DataError: where two clips would have the same name.
    """
    names = [Path(name).name if form == "bare" else name for name in ids]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(
            f"Without their folders several clips are called {twice[0]}: leave out --file-names bare."
        )
    return names
