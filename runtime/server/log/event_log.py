"""The log of events: a SQLite file of limited size that outlives a killed process.

Events are written once a second, in one transaction, by a thread of their own: SIGKILL loses at most the last
second, and the file opens again. Nothing is forced to the disk each second, which would wear SD cards, so a
power cut may take what the system has not written yet.
"""

from __future__ import annotations

import queue
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from runtime.errors import ConfigError
from runtime.live.recorder import RecordedBlock
from runtime.server.log.database import MIN_BYTES, alone, limit_size, open_database

_COMMIT_S = 1.0
_AT_A_TIME = 500  # rows, while the lock is held
_COLUMNS = "id, session, source, model, label, probability, start_utc, end_utc, ongoing, start_s, end_s"


@dataclass(frozen=True)
class LoggedEvent:
    """An event in the log.

    Attributes:
        id: its number; a later event has a higher one.
        session: of the process that logged it.
        source: name of the input.
        model: name of the model.
        label: of the class.
        probability: the highest smoothed probability.
        start_utc: seconds since 1970.
        end_utc: seconds since 1970; of an ongoing event, when the log was written last.
        ongoing: 1 while it has no end, else 0.
        start_s: seconds of the source.
        end_s: seconds of the source.
    """

    id: int
    session: str
    source: str
    model: str
    label: str
    probability: float
    start_utc: float
    end_utc: float
    ongoing: int
    start_s: float
    end_s: float


class EventLog:
    """A log of events and of where their sound was recorded.

    Args:
        path: of the file, made where there is none; None keeps the log in memory.
        limit_bytes: of the file; the oldest events go first.

    Raises:
        ConfigError: where the file cannot be used, another process uses it, or the limit is too small.

    Example:
        >>> log = EventLog(None)
        >>> number = log.onset("dog", 0.9, 1000.0, 12.5, source="mic", model="tiny")
        >>> log.offset(number, 0.95, 1002.0, 14.5)
        >>> [(event.label, event.end_s, event.ongoing) for event in log.events()]
        [('dog', 14.5, 0)]
        >>> log.close()
    """

    def __init__(self, path: str | Path | None, limit_bytes: float = 20e6) -> None:
        if not limit_bytes >= MIN_BYTES:
            raise ConfigError(f"A log of {limit_bytes:.0f} bytes holds nothing: allow 1.1 MB or more.")
        self.path, self._limit = path, limit_bytes
        self._lock = threading.Lock()  # of the connection
        self._pending: queue.SimpleQueue[tuple[str, tuple[Any, ...]]] = queue.SimpleQueue()
        self._ongoing: set[int] = set()
        self._block: RecordedBlock | None = None  # the recording that still grows
        self._failed = False
        self._held = ExitStack()
        try:
            self._held.enter_context(alone(path))
            self._connection = open_database(path)
        except (sqlite3.Error, OSError) as error:
            self._held.close()
            raise ConfigError(f"{path} cannot be used as a log ({error}): name another file.") from error
        last = self._connection.execute("SELECT max(id) FROM events").fetchone()[0]
        self._last_id = last or 0
        self.session = f"{time.time():.6f}"
        self._closing = threading.Event()
        self._writer = threading.Thread(target=self._write_every_second, name="event log", daemon=True)
        self._writer.start()

    def onset(
        self, label: str, probability: float, start_utc: float, start_s: float, *, source: str, model: str
    ) -> int:
        """Log the onset of an event; its number."""
        self._last_id += 1
        row = (self._last_id, self.session, source, model, label, probability, start_utc, start_utc, 1)
        marks = ", ".join("?" * 11)
        self._pending.put((f"INSERT INTO events ({_COLUMNS}) VALUES ({marks})", (*row, start_s, start_s)))
        self._ongoing.add(self._last_id)
        return self._last_id

    def offset(self, number: int, probability: float, end_utc: float, end_s: float) -> None:
        """Log the offset of an event."""
        self._ongoing.discard(number)
        self._pending.put((
            "UPDATE events SET ongoing = 0, probability = ?, end_utc = ?, end_s = ? WHERE id = ?",
            (probability, end_utc, end_s, number),
        ))  # fmt: skip

    def recorded(self, block: RecordedBlock) -> None:
        """Log where samples were recorded; blocks that continue each other are one row."""
        last = self._block
        if last is not None and _continues(last, block):
            self._block = replace(last, frames=last.frames + block.frames)
            place = (self._block.frames, self.session, last.file, last.first_frame)
            self._pending.put((
                "UPDATE recordings SET frames = ? WHERE session = ? AND file = ? AND first_frame = ?", place
            ))  # fmt: skip
            return
        self._block = block
        self._pending.put((
            "INSERT INTO recordings (session, file, first_frame, frames, start_s, sample_rate) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (self.session, block.file, block.first_frame, block.frames, block.start_s, block.sample_rate),
        ))  # fmt: skip

    def events(
        self, *, since: float = 0.0, until: float = 1e12, before: int | None = None, limit: int | None = None
    ) -> Iterator[LoggedEvent]:
        """Events, the latest first, read some hundred at a time.

        Args:
            since: of their onsets, seconds since 1970.
            until: onsets lie before it.
            before: only events with lower numbers.
            limit: so many at most.
        """
        self.flush()
        before = 2**62 if before is None else before
        left = 2**62 if limit is None else limit
        query = (
            f"SELECT {_COLUMNS} FROM events WHERE id < ? AND start_utc >= ? AND start_utc < ? "
            "ORDER BY id DESC LIMIT ?"
        )
        while left > 0:
            rows = self._read(query, (before, since, until, min(left, _AT_A_TIME)))
            for row in rows:
                yield LoggedEvent(*row)
            if len(rows) < min(left, _AT_A_TIME):
                return
            before, left = rows[-1][0], left - len(rows)

    def event(self, number: int) -> LoggedEvent | None:
        """One event by its number."""
        return next((e for e in self.events(before=number + 1, limit=1) if e.id == number), None)

    def day(self, day: date) -> dict[str, list[int]]:
        """How many events of each class began in each hour of a day, by the clock of this machine."""
        since, until = _midnight(day), _midnight(day + timedelta(days=1))
        counts: dict[str, list[int]] = {}
        self.flush()
        rows = self._read(
            "SELECT label, CAST(strftime('%H', start_utc, 'unixepoch', 'localtime') AS INTEGER), count(*) "
            "FROM events WHERE start_utc >= ? AND start_utc < ? GROUP BY 1, 2",
            (since, until),
        )
        for label, hour, count in rows:
            counts.setdefault(label, [0] * 24)[hour] = count
        return counts

    def recordings(self, event: LoggedEvent, margin_s: float) -> list[RecordedBlock]:
        """Where the sound of an event was recorded, with a margin on both sides, in the order of time."""
        self.flush()
        begin, end = event.start_s - margin_s, event.end_s + margin_s
        rows = self._read(
            "SELECT file, first_frame, frames, start_s, sample_rate FROM recordings WHERE session = ? "
            "AND start_s < ? AND start_s + CAST(frames AS REAL) / sample_rate > ? ORDER BY start_s",
            (event.session, end, begin),
        )
        return [part for row in rows if (part := _cut(RecordedBlock(*row), begin, end)).frames > 0]

    def flush(self) -> None:
        """Write what is pending."""
        with self._lock:
            try:
                self._write_pending()
            except sqlite3.Error as error:
                self._report(error)

    def close(self) -> None:
        """Write what is pending; events without an end stay at the last second."""
        self._closing.set()
        self._writer.join()
        self.flush()
        with self._lock, suppress(sqlite3.Error):
            self._connection.close()
        self._held.close()

    def _read(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def _write_every_second(self) -> None:
        while not self._closing.wait(_COMMIT_S):
            if self._ongoing:
                now = time.time()
                for number in tuple(self._ongoing):
                    self._pending.put((
                        "UPDATE events SET end_s = end_s + (? - end_utc), end_utc = ? "
                        "WHERE id = ? AND ongoing AND end_utc < ?",
                        (now, now, number, now),
                    ))  # fmt: skip
            self.flush()

    def _write_pending(self) -> None:
        wrote = False
        while not self._pending.empty():
            self._connection.execute(*self._pending.get())
            wrote = True
        if wrote:
            self._connection.commit()
            limit_size(self._connection, self._limit)

    def _report(self, error: sqlite3.Error) -> None:
        """Say once that the log cannot be written; the live view goes on without it."""
        with suppress(sqlite3.Error):
            self._connection.rollback()
        if not self._failed:
            print(
                f"warning: the log cannot be written ({error}): events are lost", file=sys.stderr, flush=True
            )
        self._failed = True


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day).timestamp()


def _continues(last: RecordedBlock, block: RecordedBlock) -> bool:
    """Whether a block follows another in its file and in time."""
    end_s = last.start_s + last.frames / last.sample_rate
    follows = (block.file, block.first_frame) == (last.file, last.first_frame + last.frames)
    return follows and abs(block.start_s - end_s) < 1 / block.sample_rate


def _cut(block: RecordedBlock, begin: float, end: float) -> RecordedBlock:
    """The part of a block from one time to another, seconds of the source."""
    first = max(0, round((begin - block.start_s) * block.sample_rate))
    last = min(block.frames, round((end - block.start_s) * block.sample_rate))
    start_s = block.start_s + first / block.sample_rate
    return RecordedBlock(block.file, block.first_frame + first, last - first, start_s, block.sample_rate)
