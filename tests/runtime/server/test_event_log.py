"""The log of events: what it holds after SIGKILL, how large it grows, what is found in it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from datetime import date, datetime
from pathlib import Path

import pytest

from runtime.cli.main import main
from runtime.errors import ConfigError, TinysceneError
from runtime.live.recorder import RecordedBlock
from runtime.server.log.event_log import EventLog

WRITER = """
import sys, time
from runtime.server.log.event_log import EventLog
log = EventLog(sys.argv[1])
log.onset("rain", 0.5, time.time(), 0.0, source="mic", model="tiny")
for number in range(10_000):
    event = log.onset("dog", 0.5, time.time(), number, source="mic", model="tiny")
    log.offset(event, 0.9, time.time(), number + 0.5)
    print(event, time.time(), flush=True)
    time.sleep(0.02)
"""


def add(log: EventLog, label: str, at: float, lasts: float = 1.0) -> int:
    number = log.onset(label, 0.8, at, at, source="mic", model="tiny")
    log.offset(number, 0.9, at + lasts, at + lasts)
    return number


def test_sigkill_loses_at_most_the_last_second(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    lines, end = [], time.monotonic() + 3.5
    while time.monotonic() < end:
        lines.append(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    lines += writer.stdout.read().splitlines()
    writer.wait()
    logged = {int(number): float(at) for number, at in (line.split() for line in lines if " " in line)}
    log = EventLog(path)
    found = {event.id: event for event in log.events()}
    missing = [at for number, at in logged.items() if number not in found]
    committing_s = 1.0  # a busy machine may be late with the commit
    assert len(found) > 30 and all(at > max(logged.values()) - 1.0 - committing_s for at in missing)
    assert found[1].label == "rain" and not found[1].ongoing  # it ended with its process, a second ago
    assert found[1].end_utc > max(logged.values()) - 1.0 - 2 * committing_s
    assert add(log, "dog", 5.0) > max(found)  # and the log goes on
    log.close()


def test_the_file_stays_below_its_limit_and_loses_the_oldest(tmp_path: Path) -> None:
    path, limit = tmp_path / "log.sqlite", 1_300_000
    log = EventLog(path, limit)
    for number in range(30_000):
        add(log, f"a label that takes some room {number % 7}", float(number))
        if number % 1000 == 0:
            log.flush()
            size = sum(file.stat().st_size for file in tmp_path.iterdir() if file.suffix != ".sqlite-shm")
            assert size <= limit
    newest = next(log.events(limit=1))
    assert newest.start_utc == 29_999
    rows = sum(1 for _ in log.events())
    assert 1_000 < rows < 20_000
    log.close()


def test_events_are_found_by_number_and_time(tmp_path: Path) -> None:
    log = EventLog(None)
    numbers = [add(log, "dog", float(at)) for at in range(1200)]
    assert [event.id for event in log.events(limit=2)] == [numbers[-1], numbers[-2]]
    assert [event.id for event in log.events(before=numbers[1])] == [numbers[0]]
    assert not list(log.events(before=0))
    assert [event.start_utc for event in log.events(since=3, until=5)] == [4, 3]
    assert sum(1 for _ in log.events()) == 1200
    assert log.event(numbers[7]).start_utc == 7 and log.event(10**6) is None  # type: ignore[union-attr]
    log.close()


def test_a_day_counts_events_by_class_and_hour() -> None:
    log = EventLog(None)
    for hour, label in ((0, "dog"), (23, "dog"), (23, "dog"), (12, "rain")):
        add(log, label, datetime(2026, 3, 29, hour, 59, 59).timestamp())
    add(log, "dog", datetime(2026, 3, 30).timestamp())
    counts = log.day(date(2026, 3, 29))
    assert set(counts) == {"dog", "rain"}
    assert (counts["dog"][0], counts["dog"][23], counts["rain"][12]) == (1, 2, 1)
    assert sum(counts["dog"]) == 3
    assert log.day(date(2026, 3, 28)) == {}
    log.close()


def test_the_sound_of_an_event_is_cut_from_blocks_that_continue_each_other() -> None:
    log = EventLog(None)
    for index in range(4):  # four half seconds, of which the last lies after a gap of a second
        start_s = 0.5 * index + (1.0 if index == 3 else 0.0)
        log.recorded(RecordedBlock("a.wav", 4000 * index, 4000, start_s, 8000))
    number = log.onset("dog", 0.9, 100.0, 0.75, source="mic", model="tiny")
    log.offset(number, 0.9, 101.0, 2.6)
    event = log.event(number)
    assert event is not None
    first, second = log.recordings(event, margin_s=0.25)
    assert (first.file, first.first_frame, first.frames, first.start_s) == ("a.wav", 4000, 8000, 0.5)
    assert (second.first_frame, second.frames, second.start_s) == (12_000, 2_800, 2.5)
    log.close()


def test_the_recordings_of_another_run_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    log = EventLog(path)
    log.recorded(RecordedBlock("a.wav", 0, 8000, 0.0, 8000))
    log.close()
    log = EventLog(path)
    event = log.event(add(log, "dog", 0.2, 0.5))
    assert event is not None and log.recordings(event, 0.1) == []
    log.close()


def test_what_is_no_log_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello, this is not a database" * 100)
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE birds (name TEXT)")
    other.commit()
    other.close()
    newer = sqlite3.connect(tmp_path / "newer.sqlite")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    for name in ("text", "other.sqlite", "newer.sqlite", "no/such/folder/log.sqlite"):
        with pytest.raises(ConfigError, match="cannot be used as a log"):
            EventLog(tmp_path / name)
    assert not list(tmp_path.glob("*-lock"))
    with pytest.raises(ConfigError, match="allow"):
        EventLog(None, 1000)


def test_a_log_that_another_process_writes_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    log = EventLog(path)
    number = log.onset("dog", 0.8, 1.0, 1.0, source="mic", model="tiny")
    log.flush()
    (tmp_path / "link.sqlite").symlink_to(path)
    for name in ("log.sqlite", "link.sqlite"):
        command = [sys.executable, "-c", WRITER, str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "ConfigError: Another process uses the log" in done.stderr
    event = log.event(number)
    assert event is not None and event.ongoing
    log.close()
    EventLog(path).close()
    assert {file.name for file in tmp_path.iterdir()} == {"log.sqlite", "link.sqlite"}


def test_a_server_that_cannot_start_closes_its_log(tmp_path: Path, model_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    options = ["--model", str(model_path), "--log", str(path), "--source", str(tmp_path / "none.wav")]
    with pytest.raises(TinysceneError, match=r"none\.wav"):
        main(["serve", *options])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_log_that_cannot_be_written_is_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.sqlite"
    log = EventLog(path)
    other = sqlite3.connect(path)
    other.execute("DROP TABLE events")
    other.commit()
    other.close()
    add(log, "dog", 1.0)
    log.flush()
    add(log, "dog", 2.0)
    log.flush()
    log.close()
    assert capsys.readouterr().err.count("the log cannot be written") == 1


def test_nothing_is_written_without_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = EventLog(None)
    add(log, "dog", 1.0)
    log.close()
    assert list(tmp_path.iterdir()) == []
