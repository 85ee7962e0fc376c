"""The result for one recording: its rows, compressed, and the file and time that they belong to.

The bytes of `FileResult.to_record` travel from a worker to the process that collects, on this machine or
another, and lie in the journal (`runtime.archive.journal`) until the table is written.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from runtime.model.prediction import State

_DIGITS = 6  # of probabilities and seconds: a sample at 768 kHz takes 1.3 microseconds
_MAX_HEAD_BYTES = 2**20


class Row(NamedTuple):
    """A row of the table, without the name of its file.

    Attributes:
        start_s: seconds from the beginning of the recording.
        end_s: the same.
        label: of the class; None where there is none.
        probability: of that class; None where nothing was computed.
        state: of the window, see `Prediction`.
        scores: of all labels, where they were asked for.
    """

    start_s: float
    end_s: float
    label: str | None
    probability: float | None
    state: State
    scores: tuple[float, ...] = ()


class Identity(NamedTuple):
    """What tells whether a file is the one that was classified before.

    Attributes:
        size: bytes.
        mtime_ns: time of its last change, nanoseconds since 1970.
    """

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str | Path) -> Identity:
        """That of a file now; zeros where it cannot be looked at."""
        try:
            status = Path(path).stat()
        except OSError:
            return cls(0, 0)
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class FileResult:
    """The result for one recording.

    Attributes:
        path: as it was given or found.
        identity: of the file when it was opened.
        seconds: length of the recording.
        recorded_at: when it began, by the recorder's clock; None where neither header nor name says so.
        rows: of `pack_rows`.
        notes: what is wrong with the audio and not refused.
        error: why it could not be classified; None where it was.

    Example:
        >>> row = Row(0.0, 1.0, "dog", 0.75, "ok")
        >>> result = FileResult("a.wav", Identity(64_044, 0), 1.0, rows=pack_rows([row]))
        >>> copy = FileResult.read(io.BytesIO(result.to_record()))
        >>> copy == result, list(copy.unpacked()) == [row]
        (True, True)
    """

    path: str
    identity: Identity
    seconds: float = 0.0
    recorded_at: datetime | None = None
    rows: bytes = b""
    notes: tuple[str, ...] = ()
    error: str | None = None

    def unpacked(self) -> Iterator[Row]:
        """The rows, one after the other in constant memory."""
        with gzip.GzipFile(fileobj=io.BytesIO(self.rows)) as lines:
            for line in lines:
                start_s, end_s, label, probability, state, *scores = json.loads(line)
                yield Row(start_s, end_s, label, probability, state, tuple(scores))

    @property
    def utc_offset(self) -> str | None:
        """Of the recorder's clock, such as ``+02:00``; None where that is not known."""
        if self.recorded_at is None or self.recorded_at.tzinfo is None:
            return None
        return self.recorded_at.isoformat()[-6:]

    def time_of(self, row: Row) -> datetime | None:
        """When a row begins, by the recorder's clock and without its zone; None where that is not known."""
        if self.recorded_at is None:
            return None
        return self.recorded_at.replace(tzinfo=None) + timedelta(seconds=row.start_s)

    def to_record(self) -> bytes:
        """A line of JSON, the rows as they are, and a line break."""
        head = {
            "file": self.path, "identity": self.identity, "seconds": self.seconds,
            "recorded_at": self.recorded_at and self.recorded_at.isoformat(), "notes": self.notes,
            "error": self.error, "bytes": len(self.rows), "crc32": zlib.crc32(self.rows),
        }  # fmt: skip
        return json.dumps(head).encode() + b"\n" + self.rows + b"\n"

    @classmethod
    def read(cls, file: BinaryIO) -> FileResult | None:
        """The result whose record begins here; None where none does, or one that is cut short or damaged."""
        try:
            head: dict[str, Any] = json.loads(file.readline(_MAX_HEAD_BYTES))
            rows = file.read(head["bytes"])
            if file.read(1) != b"\n" or zlib.crc32(rows) != head["crc32"]:
                return None
            began = head["recorded_at"]
            return cls(
                head["file"], Identity(*head["identity"]), head["seconds"],
                began and datetime.fromisoformat(began), rows, tuple(head["notes"]), head["error"],
            )  # fmt: skip
        except (ValueError, KeyError, TypeError):  # not JSON, or other JSON
            return None


def pack_rows(rows: Iterable[Row]) -> bytes:
    """Rows as lines of JSON, compressed; numbers are rounded to a millionth."""
    packed = io.BytesIO()
    # level 1: a hundredth of the time that classifying takes, and a tenth of the bytes
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as lines:
        for start_s, end_s, label, probability, state, scores in rows:
            rounded = None if probability is None else round(probability, _DIGITS)
            times = round(start_s, _DIGITS), round(end_s, _DIGITS)
            values = [*times, label, rounded, state, *(round(score, _DIGITS) for score in scores)]
            lines.write(json.dumps(values, separators=(",", ":")).encode() + b"\n")
    return packed.getvalue()
