"""Label lists of command lines."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.errors import ConfigError
from train.data.datasets.tau2022 import SCENES

# DCASE's baselines and CP-JKU's systems number their outputs in this, the alphabetical order.
NAMED: Mapping[str, Sequence[str]] = {"tau": SCENES}


def parse_labels(text: str) -> tuple[str, ...]:
    """Labels in the order of the outputs, from ``a,b,c``, from a name in `NAMED` or from a file.

    A file has one label a line, or is a .csv table with a column ``display_name``, as AudioSet's
    ``class_labels_indices.csv``.

    Raises:
        ConfigError: where a label is empty or occurs twice, or the file cannot be read.
    """
    if text in NAMED:
        return tuple(NAMED[text])
    labels = _read(Path(text)) if _is_file(text) else tuple(part.strip() for part in text.split(","))
    for position, label in enumerate(labels):
        if not label:
            raise ConfigError(
                f"--labels: label {position + 1} of {len(labels)} is empty: name every output, as in 'a,b,c'."
            )
        if (first := labels.index(label)) != position:
            raise ConfigError(
                f"--labels names '{label}' twice (labels {first + 1} and {position + 1}): every output has a "
                "name of its own."
            )
    return labels


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # a list of labels that is too long for the name of a file
        return False


def _read(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--labels: {path} is not a text file in UTF-8 ({error}): convert it.") from error
    if path.suffix.lower() != ".csv":
        return tuple(line.strip() for line in lines if line.strip())
    rows = list(csv.DictReader(lines))
    if not rows or "display_name" not in rows[0]:
        raise ConfigError(f"--labels: {path} has no column 'display_name': give a text file, a label a line.")
    return tuple((row["display_name"] or "").strip() for row in rows)
