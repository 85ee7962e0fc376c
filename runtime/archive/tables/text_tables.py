"""Tables as text: comma-separated values and JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any, Protocol, TextIO

from runtime.archive.result import FileResult, Row
from runtime.files import printable

COLUMNS = ("file", "time", "utc_offset", "start_s", "end_s", "label", "probability", "state")


class Table(Protocol):
    """A table that is being written."""

    def add(self, result: FileResult) -> None:
        """Append the rows of a file."""


def values(result: FileResult) -> Iterator[tuple[list[Any], Row]]:
    """The values of `COLUMNS` for every row of a file; times as text, to the millisecond."""
    name, offset = printable(result.path), result.utc_offset
    for row in result.unpacked():
        time = result.time_of(row)
        text = None if time is None else time.isoformat(timespec="milliseconds")
        yield [name, text, offset, row.start_s, row.end_s, row.label, row.probability, row.state], row


class CsvTable:
    """Rows of comma-separated values (RFC 4180), the names of the columns first; what is not known is empty.

    Args:
        file: opened with ``newline=""``.
        labels: whose scores follow `COLUMNS`, in columns named ``score_`` and the label.

    Example:
        >>> import sys
        >>> from runtime.archive.result import Identity, pack_rows
        >>> rows = pack_rows([Row(0.0, 1.0, "dog", 0.75, "ok")])
        >>> CsvTable(sys.stdout, ()).add(FileResult("a.wav", Identity(0, 0), rows=rows))
        file,time,utc_offset,start_s,end_s,label,probability,state
        a.wav,,,0.0,1.0,dog,0.75,ok
    """

    def __init__(self, file: TextIO, labels: tuple[str, ...]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._labels = labels
        self._writer.writerow([*COLUMNS, *(f"score_{label}" for label in labels)])

    def add(self, result: FileResult) -> None:
        """Append the rows of a file."""
        blank = [""] * len(self._labels)
        self._writer.writerows([*columns, *(row.scores or blank)] for columns, row in values(result))


class JsonTable:
    """JSON objects, one a line, with `COLUMNS` as keys, and ``scores`` by label where they were asked for.

    Args:
        file: to write to.
        labels: whose scores there are.

    Example:
        >>> import sys
        >>> from runtime.archive.result import Identity, pack_rows
        >>> rows = pack_rows([Row(0.0, 1.0, None, None, "no_signal")])
        >>> table = JsonTable(sys.stdout, ())
        >>> table.add(FileResult("a.wav", Identity(0, 0), rows=rows))  # doctest: +ELLIPSIS
        {"file": "a.wav", "time": null, "utc_offset": null, "start_s": 0.0, ...}
    """

    def __init__(self, file: TextIO, labels: tuple[str, ...]) -> None:
        self._file, self._labels = file, labels

    def add(self, result: FileResult) -> None:
        """Append the objects of a file."""
        for columns, row in values(result):
            fields = dict(zip(COLUMNS, columns, strict=True))
            if self._labels:
                fields["scores"] = dict(zip(self._labels, row.scores, strict=False))
            self._file.write(json.dumps(fields, allow_nan=False) + "\n")
