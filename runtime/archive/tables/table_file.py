"""The finished table at its place: each of its files appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.archive.output import Output
from runtime.archive.tables.label_tables import AudacityTracks, RavenTable
from runtime.archive.tables.parquet_table import ParquetTable
from runtime.archive.tables.text_tables import CsvTable, JsonTable, Table
from runtime.entry_point import require
from runtime.errors import TinysceneError
from runtime.files import make_folder, write_beside
from runtime.spec import FrontEndSpec


@contextmanager
def open_table(output: Output, frontend: FrontEndSpec, labels: tuple[str, ...], root: str) -> Iterator[Table]:
    """Write a table, which appears under its name once all of it is there; label tracks appear one by one.

    Args:
        output: where, and in which format.
        frontend: of the model, whose mel bands are the edges of Raven's selections.
        labels: whose scores are in the rows.
        root: folder that all recordings lie in.

    Raises:
        TinysceneError: where it cannot be written.
    """
    if output.format == "audacity":
        yield AudacityTracks(output.table, root)
        return
    with write_beside(output.table) as partial:
        if output.format == "parquet":
            table = ParquetTable(partial, labels)
            yield table
            table.close()
            return
        with partial.open("w", encoding="utf-8", newline="") as file:
            if output.format == "raven":
                yield RavenTable(file, frontend.f_min, frontend.f_max)
            else:
                yield CsvTable(file, labels) if output.format == "csv" else JsonTable(file, labels)


def check_output(output: Output) -> None:
    """Find out before days of work what the journal beside the table does not: whether it can be written.

    Raises:
        MissingExtraError: where the format needs a package that is not installed.
        TinysceneError: where a folder is in the place of a table, or something else in that of a folder.
    """
    if output.format == "parquet":
        require("pyarrow", extra="archive")
    if output.format != "audacity":
        if os.path.isdir(output.table):  # noqa: PTH112 - it is False for names that are too long
            raise TinysceneError(f"{output.table} is a folder: name a file to write.")
        return
    make_folder(output.table)
