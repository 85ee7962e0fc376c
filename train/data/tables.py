"""What corpora on disk have in common: the folder that they lie in and their tables."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from runtime.errors import DataError
from train.data.text_files import read_text

_DELIMITERS = ",\t;"


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
    """Rows of a table with a header, without the spaces around names and cells.

    Args:
        path: the file, in UTF-8, UTF-16, or what `train.data.text_files.read_text` takes for Windows-1252.
        columns: names that have to be there; more are welcome.
        may_be_empty: those of them whose cells may be empty.
        delimiter: between the cells of a row; None finds out from the header.
        remedy: what to do where the file is missing or another, e.g. "get it from ...".

    Raises:
        DataError: where the file is missing, is no table of text, lacks a column or a cell, names a column
            twice, or has a quote that never closes; it names the row.
    """
    text = read_text(path, remedy)
    if text.lower().startswith("sep=") and len(text) > len("sep=") + 1:  # names the delimiter for Excel
        delimiter = text[4] if delimiter is None else delimiter
        text = "\n" + "".join(re.split(r"\r\n|\r|\n", text, maxsplit=1)[1:])
    lines = _split(path, text, delimiter or _delimiter(text, columns))
    first, header = next(((line, cells) for line, cells in lines if any(cells)), (0, []))
    missing = sorted(set(columns) - set(header))
    if missing:
        has = ", ".join(name for name in header if name)
        raise DataError(f"{path} lacks the columns {', '.join(missing)} (it has {has}): {remedy}.")
    if twice := [name for name, count in Counter(header).items() if name and count > 1]:
        raise DataError(f"{path} names the column '{twice[0]}' twice in row {first}: rename or remove one.")
    filled = set(columns) - set(may_be_empty)
    rows = [_row(path, line, header, cells, columns, filled, remedy) for line, cells in lines if any(cells)]
    if not rows:
        raise DataError(f"{path} has no rows below its header: {remedy}.")
    return rows


def _row(
    path: Path,
    line: int,
    header: list[str],
    cells: list[str],
    columns: Collection[str],
    filled: Collection[str],
    remedy: str,
) -> dict[str, str]:
    """The cells of a row by the names of their columns."""
    if cells == header:
        raise DataError(f"{path}, row {line}, repeats the header: two tables were joined; remove that row.")
    if any(cells[len(header) :]):
        raise DataError(
            f"{path}, row {line}, has {len(cells)} cells and the header has {len(header)}: put a cell that "
            "holds the delimiter between quotes."
        )
    given = dict(zip(header, cells, strict=False))
    row = dict.fromkeys(header, "") | given
    lacking = [name for name in columns if name not in given or (name in filled and not row[name])]
    if lacking:
        raise DataError(f"{path}, row {line}, lacks a cell of {', '.join(sorted(lacking))}: {remedy}.")
    if broken := [name for name in columns if "\n" in row[name] or "\r" in row[name]]:
        raise DataError(
            f"{path}, row {line}: the cell of '{broken[0]}' runs over several lines, as a quote opens there "
            "and does not close in that row; close it."
        )
    return row


def _delimiter(text: str, columns: Collection[str]) -> str:
    """The one that separates most of these columns in the header, whose cells may hold the others."""
    lines = io.StringIO(text, newline=None)
    header = next((line for line in lines if line.strip(_DELIMITERS + " \n")), "")

    def found(delimiter: str) -> tuple[int, int]:
        try:
            cells = {cell.strip() for cell in next(csv.reader([header], delimiter=delimiter))}
        except csv.Error:  # which `_split` reports with its row
            cells = set()
        return len(cells & set(columns)), header.count(delimiter)

    return max(_DELIMITERS, key=found)


def _split(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows as cells, each with the number of the line that it begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            wrong = _quoting(error, lines=reader.line_num - line)
            raise DataError(f"{path}, row {line}, {wrong}.") from error
        yield line, [cell.strip() for cell in cells]


def _quoting(error: csv.Error, lines: int) -> str:
    """What is wrong with the quotes of a row that was read ``lines`` too far."""
    if lines > 0 or "end of data" in str(error):
        return "opens a quote that never closes: close it"
    return f"is not quoted as a table is ({error}): double the quotes within a cell"
