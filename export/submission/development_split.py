"""``resources/test.csv``: the clips of the development set that the organisers' evaluation scores.

`evaluate_submission.py` reads it through `importlib.resources.path`, which does not raise for a missing file
on Python 3.10 to 3.13, so that the script's own download never starts: the package has to hold the file.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, KeysView
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ConfigError
from train.checkpoints.model_pt import Checkpoint
from train.data.datasets.tau2022 import LIST_COLUMNS, META_COLUMNS

_VARIABLE = "TAU2022_DIR"
_LIST = Path("evaluation_setup", "fold1_evaluate.csv")


@dataclass(frozen=True)
class DevelopmentSplit:
    """The rows of test.csv.

    Attributes:
        names: file names relative to the development set.
        source: where they come from, a phrase for the README.
        official: whether they are the test split of the challenge.
    """

    names: tuple[str, ...]
    source: str
    official: bool

    def to_csv(self) -> str:
        """Tab-separated, one column; the script takes labels and devices from the set's meta.csv."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        writer.writerows([["filename"], *([name] for name in self.names)])
        return text.getvalue()


def find_development_split(given: Path | None, checkpoints: Iterable[Checkpoint]) -> DevelopmentSplit:
    """The list that was given, that of ``TAU2022_DIR``, or else clips that the models carry windows of.

    Raises:
        ConfigError: where the given list cannot be read, is no list of a split, or lists clips of the
            training whose windows a model carries.
    """
    checkpoints = tuple(checkpoints)
    folder = os.environ.get(_VARIABLE)
    if given is None and folder and (Path(folder) / _LIST).is_file():
        given = Path(folder) / _LIST
    if given is not None:
        names = tuple(_read(given))
        trained = _clips(found.calibration_ids for found in checkpoints) & set(names)
        if trained:
            raise ConfigError(
                f"{given} lists {min(trained)}, which a model was trained on, so a score says nothing: "
                "give fold1_evaluate.csv of the development set."
            )
        return DevelopmentSplit(names, f"{len(names):,} clips of {given.name}", official=True)
    names = tuple(_clips(found.verification_ids or found.calibration_ids for found in checkpoints))
    source = f"{len(names):,} clips that the models carry windows of, in place of the official test split"
    return DevelopmentSplit(names, source, official=False)


def _clips(windows: Iterable[Iterable[str]]) -> KeysView[str]:
    """The clips that windows of models are of, in their order."""
    return dict.fromkeys(re.sub(r"@\d+$", "", one) for found in windows for one in found).keys()


def _read(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, delimiter="\t")
            names = [row.get("filename") or "" for row in reader]
            of_meta = (META_COLUMNS - LIST_COLUMNS).intersection(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"{path} cannot be read as a table ({error}): give fold1_evaluate.csv of the development set."
        ) from error
    if of_meta:
        raise ConfigError(
            f"{path} has the column '{min(of_meta)}', so it is the table of all clips and no split: give "
            "fold1_evaluate.csv of the development set."
        )
    if not names or not all(names):
        raise ConfigError(
            f"{path} has no column 'filename' between tabs, or no rows: give fold1_evaluate.csv of the "
            "development set."
        )
    return names
