"""Label lists of command lines."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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


def choose_labels(text: str | None, of_file: Mapping[Any, Any] | None) -> tuple[str, ...]:
    """Labels of published weights: those of a command line, or those that the file itself lists.

    Args:
        text: as `parse_labels` takes it; None leaves it to the file.
        of_file: index to label, as in the ``label_dict`` of Microsoft's BEATs, whose labels are AudioSet's
            identifiers in an order of their own. A .csv table with the columns ``mid`` and ``display_name``
            gives them their names.

    Raises:
        ConfigError: where neither names the labels.
    """
    if of_file is None:
        if text is None:
            raise ConfigError(
                "--labels: the file does not list its labels: name them in the order of the outputs, as in "
                "'a,b,c'."
            )
        return parse_labels(text)
    by_index = {int(index): str(label) for index, label in of_file.items()}
    listed = tuple(by_index[index] for index in sorted(by_index))
    if text is None:
        return listed
    names = _names_by_identifier(Path(text)) if text not in NAMED and _is_file(text) else {}
    if set(listed) <= set(names):
        return tuple(names[identifier] for identifier in listed)
    given = parse_labels(text)
    return listed if set(given) == set(listed) else given


def _names_by_identifier(path: Path) -> dict[str, str]:
    """AudioSet's identifier to its name, of ``class_labels_indices.csv``; empty for any other file."""
    if path.suffix.lower() != ".csv":
        return {}
    rows = csv.DictReader(_lines(path))
    return {row["mid"]: row["display_name"] for row in rows if row.get("mid") and row.get("display_name")}


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # a list of labels that is too long for the name of a file
        return False


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--labels: {path} is not a text file in UTF-8 ({error}): convert it.") from error


def _read(path: Path) -> tuple[str, ...]:
    lines = _lines(path)
    if path.suffix.lower() != ".csv":
        return tuple(line.strip() for line in lines if line.strip())
    rows = list(csv.DictReader(lines))
    if not rows or "display_name" not in rows[0]:
        raise ConfigError(f"--labels: {path} has no column 'display_name': give a text file, a label a line.")
    return tuple((row["display_name"] or "").strip() for row in rows)
