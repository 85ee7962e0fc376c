"""The journal beside the table: results of finished files, so that a run goes on after it was killed.

A file of records (`FileResult.to_record`) that is only appended to, after two lines: what it is, and the
settings of the run as JSON. A record that is not whole is the last, of a run that was killed; it is cut off.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from runtime.archive.result import FileResult, Identity
from runtime.entry_point import FULL_DISK
from runtime.errors import ConfigError, TinysceneError
from runtime.files import lock

_MAGIC = b"tinyscene journal 1\n"
_SYNC_S = 1.0  # a power cut loses the results of at most so long; a killed process none


class _Place(NamedTuple):
    offset: int
    identity: Identity


class Journal:
    """Results on disk, by path.

    Args:
        path: of the journal; it is made where it does not exist.
        settings: what decides the rows, see `ArchiveJob.settings`.

    Raises:
        ConfigError: where the journal is of a run with other settings, or the file is no journal.
        TinysceneError: where it cannot be written, or another process writes it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "table.csv.journal")
        >>> with Journal(path, {"hop_s": 1.0}) as journal:
        ...     journal.add(FileResult("a.wav", Identity(100, 5)))
        >>> with Journal(path, {"hop_s": 1.0}) as journal:
        ...     journal.has("a.wav", Identity(100, 5)), journal.has("a.wav", Identity(100, 6))
        (True, False)
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._places: dict[str, _Place] = {}
        self._synced = time.monotonic()
        try:
            self._writer = self.path.open("ab", buffering=0)  # a failed write leaves nothing to write later
            self._reader: BinaryIO = self.path.open("rb")
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            self._lock()
            self._begin(json.dumps(settings).encode() + b"\n")
            self._scan()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._places)

    def has(self, path: str, identity: Identity) -> bool:
        """Whether the file at a path was classified as it is now."""
        place = self._places.get(path)
        return place is not None and place.identity == identity

    def others(self, paths: Set[str]) -> int:
        """How many files it has that are not among these."""
        return len(self._places.keys() - paths)

    def add(self, result: FileResult) -> None:
        """Append the result for a file; it counts from then on.

        Raises:
            TinysceneError: where the disk is full or fails.
        """
        self._places[result.path] = _Place(self._append(result.to_record()), result.identity)
        if time.monotonic() - self._synced > _SYNC_S:
            self.sync()

    def sync(self) -> None:
        """Wait until all results are on the disk."""
        try:
            os.fsync(self._writer.fileno())
        except OSError as error:
            raise self._unwritable(error) from error
        self._synced = time.monotonic()

    def result(self, path: str) -> FileResult:
        """The result for a file that the journal has."""
        self._reader.seek(self._places[path].offset)
        result = FileResult.read(self._reader)
        if result is None:
            raise TinysceneError(f"{self.path} was changed while it was in use: run the command again.")
        return result

    def close(self) -> None:
        """Close the file, and let another process use it."""
        self._reader.close()
        self._writer.close()

    def remove(self) -> None:
        """Delete the journal, whose results are not needed any more."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _append(self, data: bytes) -> int:
        """Write all of the data to the end, or none of it; where it begins."""
        begin = self._writer.seek(0, os.SEEK_END)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._writer.write(rest) :]
        except OSError as error:
            with suppress(OSError):
                self._writer.truncate(begin)
            raise self._unwritable(error) from error
        return begin

    def _lock(self) -> None:
        if not lock(self._writer):
            raise TinysceneError(f"Another process writes {self.path}: wait for it, or name another output.")

    def _begin(self, settings: bytes) -> None:
        """Check whose journal it is; write the first two lines where they are missing."""
        magic, line = self._reader.readline(len(_MAGIC)), self._reader.readline()
        if not line.endswith(b"\n") and _MAGIC.startswith(magic):  # killed before they were whole
            self._writer.truncate(0)
            self._append(_MAGIC + settings)
            self._reader.seek(len(_MAGIC + settings))
        elif magic != _MAGIC:
            raise ConfigError(f"{self.path} is no journal of this command: move it, or name another output.")
        elif line != settings:
            raise ConfigError(
                f"{self.path} holds results of another run ({_difference(line, settings)}): give the options "
                "of that run, delete the file, or name another output."
            )

    def _scan(self) -> None:
        """Find the records; cut off what follows the last whole one."""
        end = self._reader.tell()
        while (result := FileResult.read(self._reader)) is not None:
            self._places[result.path] = _Place(end, result.identity)
            end = self._reader.tell()
        self._writer.truncate(end)

    def _unwritable(self, error: OSError) -> TinysceneError:
        if error.errno in FULL_DISK:
            return TinysceneError(
                f"Cannot write {self.path}: {error.strerror}; make room and run the command again, which "
                "goes on from here."
            )
        if not self.path.parent.exists():
            return TinysceneError(f"There is no folder {self.path.parent}: make it, or name another output.")
        return TinysceneError(f"Cannot write {self.path}: {error.strerror}; name another place.")


def _difference(line: bytes, settings: bytes) -> str:
    """The first setting in which two runs differ, in words."""
    try:
        before = json.loads(line)
    except ValueError:
        before = None
    if not isinstance(before, dict):
        return "its settings cannot be read"
    now = json.loads(settings)
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            if name == "checksum":
                return "of another model"
            return f"{name.removesuffix('_s').replace('_', ' ')} was {before.get(name)}, now {now.get(name)}"
    return "of another release"
