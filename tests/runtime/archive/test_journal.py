"""The journal: what a run that was killed left behind is used, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runtime.archive.journal import Journal
from runtime.archive.result import FileResult, Identity, Row, pack_rows
from runtime.errors import ConfigError, TinysceneError

SETTINGS = {"checksum": "c0ffee", "hop_s": 1.0}
ROWS = [Row(0.0, 1.0, "dog", 0.75, "ok"), Row(1.0, 2.0, None, None, "no_signal")]


def result(name: str) -> FileResult:
    return FileResult(name, Identity(100, 5), 2.0, rows=pack_rows(ROWS))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with three results."""
    path = tmp_path / "table.csv.journal"
    with Journal(path, SETTINGS) as journal:
        for name in ("a.wav", "b.wav", "c\udce9.wav"):
            journal.add(result(name))
    return path


def test_results_are_read_again(path: Path) -> None:
    with Journal(path, SETTINGS) as journal:
        assert len(journal) == 3 and journal.has("b.wav", Identity(100, 5))
        assert journal.result("c\udce9.wav") == result("c\udce9.wav")
        assert list(journal.result("a.wav").unpacked()) == ROWS
        assert not journal.has("b.wav", Identity(100, 6))  # changed since
        journal.add(result("d.wav"))
        assert journal.result("d.wav") == result("d.wav")


def test_a_record_that_is_not_whole_is_cut_off_and_the_others_stay(path: Path) -> None:
    whole = path.read_bytes()
    header = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    last = len(whole) - len(result("c\udce9.wav").to_record())
    for length in (header, header + 1, last, last + 1, last + 200, len(whole) - 1):
        path.write_bytes(whole[:length])
        with Journal(path, SETTINGS) as journal:
            assert len(journal) == (0 if length < last else 2)
            journal.add(result("e.wav"))
        with Journal(path, SETTINGS) as journal:
            assert journal.result("e.wav") == result("e.wav")


def test_a_journal_that_was_killed_at_birth_is_begun_again(path: Path) -> None:
    whole = path.read_bytes()
    for length in (0, 5, 20, 30):
        path.write_bytes(whole[:length])
        with Journal(path, SETTINGS) as journal:
            assert len(journal) == 0
        assert path.read_bytes() == whole[: whole.index(b"\n", 20) + 1]


def test_zeros_after_a_power_cut_are_cut_off(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(5000))
    with Journal(path, SETTINGS) as journal:
        assert len(journal) == 3
    path.write_bytes(whole[:-30] + bytes(30))
    with Journal(path, SETTINGS) as journal:
        assert len(journal) == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({**SETTINGS, "hop_s": 0.5}, "hop was 1.0, now 0.5"),
        ({**SETTINGS, "checksum": "f00"}, "another model"),
    ],
)
def test_results_of_another_run_are_refused(path: Path, settings: dict[str, object], words: str) -> None:
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=words):
        Journal(path, settings)
    assert path.read_bytes() == before


def test_a_file_of_that_name_that_is_something_else_is_left_alone(path: Path) -> None:
    path.write_text("my diary\nof June\n")
    with pytest.raises(ConfigError, match="no journal"):
        Journal(path, SETTINGS)
    assert path.read_text() == "my diary\nof June\n"


def test_two_runs_do_not_write_one_journal(path: Path) -> None:
    pytest.importorskip("fcntl", reason="locks are POSIX")
    with Journal(path, SETTINGS), pytest.raises(TinysceneError, match="Another process"):
        Journal(path, SETTINGS)
    with Journal(path, SETTINGS) as journal:
        assert len(journal) == 3


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TinysceneError, match=r"Cannot write .*; name another place"):
        Journal(tmp_path, SETTINGS)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(TinysceneError, match=f"There is no folder {tmp_path / 'nowhere'}: make it"):
        Journal(tmp_path / "nowhere" / "table.csv.journal", SETTINGS)


def test_a_full_disk_is_one_sentence_and_costs_no_result(path: Path) -> None:
    pytest.importorskip("resource", reason="limits are POSIX")
    program = """
import resource, sys
from runtime.archive.journal import Journal
from runtime.errors import TinysceneError
from tests.runtime.archive.test_journal import SETTINGS, result
journal = Journal(sys.argv[1], SETTINGS)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    for number in range(100):
        journal.add(result(f"{number}.wav"))
except TinysceneError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60
    )
    assert "make room" in done.stdout and done.stdout.count("\n") == 1, done.stderr
    with Journal(path, SETTINGS) as journal:
        assert len(journal) > 3 and journal.result("0.wav") == result("0.wav")
    assert path.stat().st_size < 2000  # nothing of the record that did not fit
