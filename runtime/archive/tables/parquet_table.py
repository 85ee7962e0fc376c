"""Tables for pandas, DuckDB and Spark: Apache Parquet, by pyarrow of the extra ``archive``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime.archive.result import FileResult
from runtime.archive.tables.text_tables import COLUMNS
from runtime.entry_point import require
from runtime.files import printable

_GROUP_ROWS = (
    2**16
)  # rows in memory at a time, whatever the lengths of the files: the bytes depend on rows only


class ParquetTable:
    """Columns `COLUMNS`, ``time`` as a timestamp without zone, and ``score_`` and the label for each.

    Args:
        path: to write to; complete once `close` was called.
        labels: whose scores there are.

    Raises:
        MissingExtraError: where pyarrow is not installed.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "table.parquet")
        >>> table = ParquetTable(path, ("dog", "rain"))  # doctest: +SKIP
    """

    def __init__(self, path: Path, labels: tuple[str, ...]) -> None:
        self._arrow = require("pyarrow", extra="archive")
        self._schema = self._arrow.schema([*self._fields(), *((f"score_{x}", "float64") for x in labels)])
        self._blank = (None,) * len(labels)
        self._writer = require("pyarrow.parquet", extra="archive").ParquetWriter(path, self._schema)
        self._rows: list[tuple[Any, ...]] = []

    def add(self, result: FileResult) -> None:
        """Append the rows of a file."""
        name, offset = printable(result.path), result.utc_offset
        for row in result.unpacked():
            self._rows.append(
                (name, result.time_of(row), offset, row.start_s, row.end_s, row.label, row.probability,
                 row.state, *(row.scores or self._blank))
            )  # fmt: skip
            if len(self._rows) == _GROUP_ROWS:
                self._write()

    def close(self) -> None:
        """Write what is left, and the footer."""
        if self._rows:
            self._write()
        self._writer.close()

    def _fields(self) -> list[tuple[str, Any]]:
        types = dict.fromkeys(COLUMNS, "string")
        types.update(start_s="float64", end_s="float64", probability="float64")
        return [(name, self._arrow.timestamp("ms") if name == "time" else types[name]) for name in COLUMNS]

    def _write(self) -> None:
        columns = [
            self._arrow.array(column, field.type)
            for column, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(columns, schema=self._schema))
        self._rows.clear()
