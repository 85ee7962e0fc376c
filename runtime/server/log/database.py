"""The SQLite file of the event log: its tables, its settings and its limit."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime.errors import ConfigError
from runtime.files import lock

_VERSION = 1  # of the tables
_PAGE_BYTES = 4096
_WAL_PAGES = 64  # of the write-ahead log, until it is moved into the file
_SPARE = 0.1  # of the rows are deleted where the limit is reached, the oldest first
_TABLES = """
CREATE TABLE IF NOT EXISTS events (
  id INTEGER PRIMARY KEY, session TEXT NOT NULL, source TEXT NOT NULL, model TEXT NOT NULL,
  label TEXT NOT NULL, probability REAL NOT NULL, start_utc REAL NOT NULL, end_utc REAL NOT NULL,
  ongoing INTEGER NOT NULL, start_s REAL NOT NULL, end_s REAL NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_time ON events (start_utc);
CREATE TABLE IF NOT EXISTS recordings (
  id INTEGER PRIMARY KEY, session TEXT NOT NULL, file TEXT NOT NULL, first_frame INTEGER NOT NULL,
  frames INTEGER NOT NULL, start_s REAL NOT NULL, sample_rate INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS recordings_by_time ON recordings (session, start_s);
"""

MIN_BYTES = 4 * _WAL_PAGES * _PAGE_BYTES  # the least limit: 1 MiB


@contextmanager
def alone(path: str | Path | None) -> Iterator[None]:
    """Keep other processes from a log: SQLite lets them write it, and their events get the same numbers.

    The locked file lies beside the log: a lock on the log itself keeps SQLite from it on some systems.

    Raises:
        ConfigError: where another process uses the log.
        OSError: where no file can be made there.
    """
    if path is None:
        yield
        return
    place = Path(f"{os.path.realpath(path)}-lock")  # as SQLite's -wal and -shm; a link leads to the same log
    with place.open("ab") as file:
        # it has no links where the process that ends right now removed it: the next one makes another file
        if not lock(file) or not os.fstat(file.fileno()).st_nlink:
            raise ConfigError(f"Another process uses the log {path}: end it, or name another file.")
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file
                place.unlink()


def open_database(path: str | Path | None) -> sqlite3.Connection:
    """Open a log, or make one; in memory where the path is None.

    A write-ahead log and ``synchronous = NORMAL`` (https://sqlite.org/wal.html): what was committed outlives
    the process, and a power cut leaves the file consistent without a forced write to the disk each second.

    Raises:
        sqlite3.Error: where the file is no database or not a log.
    """
    connection = sqlite3.connect(":memory:" if path is None else path, check_same_thread=False)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise sqlite3.DatabaseError("it comes from a newer release")
    if not version and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise sqlite3.DatabaseError("it is a database of another program")
    for setting in (
        f"page_size = {_PAGE_BYTES}", "auto_vacuum = INCREMENTAL", "journal_mode = WAL",
        "synchronous = NORMAL",
        f"wal_autocheckpoint = {_WAL_PAGES}", f"journal_size_limit = {_WAL_PAGES * _PAGE_BYTES}",
    ):  # fmt: skip
        connection.execute(f"PRAGMA {setting}")
    connection.executescript(_TABLES)
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("UPDATE events SET ongoing = 0")  # the process that logged them was killed
    connection.commit()
    return connection


def limit_size(connection: sqlite3.Connection, limit_bytes: float) -> None:
    """Delete the oldest rows where the file and its write-ahead log come near a limit."""
    while _used_bytes(connection) > limit_bytes - 2 * _WAL_PAGES * _PAGE_BYTES:
        deleted = 0
        for table in ("events", "recordings"):
            oldest = f"SELECT min(id) + (max(id) - min(id)) * {_SPARE} FROM {table}"
            deleted += connection.execute(f"DELETE FROM {table} WHERE id <= ({oldest})").rowcount
        connection.commit()
        connection.execute("PRAGMA incremental_vacuum").fetchall()
        connection.commit()
        if not deleted:
            return


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages, free = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count")
    )
    return int(pages - free) * _PAGE_BYTES
