"""What corpora on disk have in common: their folder, their tables, and clips held out by whole groups."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from runtime.errors import DataError
from train.data.corpus import Clip

_UNLABELLED = -1  # the class of clips that nobody labelled


def corpus_folder(root: str | None, variable: str, *, name: str, holds: str, source: str) -> Path:
    """The folder of a corpus: as given, or what an environment variable says.

    Args:
        root: as given in the recipe.
        variable: environment variable to look at where ``root`` is None.
        name: of the corpus.
        holds: what the folder contains, in words.
        source: where the corpus can be had.

    Raises:
        DataError: where neither names a folder; it says what it must hold and where to get it.
    """
    found = root or os.environ.get(variable)
    if not found:
        raise DataError(
            f"Where is {name}? Get it from {source}, then set {variable} (or data.corpus.root) to the "
            f"folder that holds {holds}."
        )
    if not Path(found).is_dir():
        raise DataError(f"{found} is not the {name} folder, which holds {holds}: get it from {source}.")
    return Path(found)


def read_table(
    path: Path,
    columns: Collection[str],
    *,
    may_be_empty: Collection[str] = (),
    delimiter: str | None = ",",
    remedy: str,
) -> list[dict[str, str]]:
    """Rows of a table with a header.

    Args:
        path: the file.
        columns: names that have to be there; more are welcome.
        may_be_empty: those of them whose cells may be empty.
        delimiter: between the cells of a row; None finds out from the header.
        remedy: what to do where the file is missing or another, e.g. "get it from ...".

    Raises:
        DataError: where the file is missing, empty, or lacks a column or a cell.
    """
    if not path.is_file():
        raise DataError(f"There is no table {path}: {remedy}.")
    with path.open(newline="", encoding="utf-8-sig") as file:
        if delimiter is None:
            header = file.readline()
            delimiter = max(",\t;", key=header.count)
            file.seek(0)
        reader = csv.DictReader(file, delimiter=delimiter)
        rows = list(reader)
    missing = sorted(set(columns) - set(reader.fieldnames or ()))
    if missing or not rows:
        wrong = f"lacks the columns {', '.join(missing)}" if missing else "has no rows"
        raise DataError(f"{path} {wrong}: {remedy}.")
    filled = sorted(set(columns) - set(may_be_empty))
    for line, row in enumerate(rows, start=2):
        if any(not row[column] for column in filled) or any(row[column] is None for column in columns):
            raise DataError(f"{path}, row {line}, lacks a cell of {', '.join(sorted(columns))}: {remedy}.")
    return rows


def hold_out(clips: Sequence[Clip], share: float, seed: int) -> tuple[list[Clip], list[Clip]]:
    """Take about a share of every class away, group by whole group.

    Args:
        clips: to choose from.
        share: of the groups of each class, in [0, 1]; a class with two groups or more gives at least one. A
            clip of several labels counts for the one that fewest clips have, one without labels for a class
            of its own.
        seed: another seed chooses other groups.

    Returns:
        The clips that stay and those held out, both in their order.

    Raises:
        DataError: where the share is out of range.
    """
    if not 0 <= share <= 1:
        raise DataError(f"A share of clips to hold out lies in [0, 1], not {share}.")
    frequency = Counter(target for clip in clips for target in clip.targets or ())
    of_class: dict[int, dict[str, None]] = {}
    owner: dict[str, int] = {}
    for clip in sorted(clips, key=lambda clip: clip.id):
        rarest = min(clip.targets or (_UNLABELLED,), key=lambda target: (frequency[target], target))
        target = owner.setdefault(clip.group, rarest)  # a group of several classes counts for its first
        of_class.setdefault(target, {})[clip.group] = None
    chosen: set[str] = set()
    for target, members in sorted(of_class.items()):
        order = np.random.default_rng((seed, max(target, 0))).permutation(sorted(members))
        count = max(round(share * len(order)), 1) if share and len(order) > 1 else int(share)
        chosen.update(order[:count].tolist())
    return [c for c in clips if c.group not in chosen], [c for c in clips if c.group in chosen]
