"""``classify DIR -o OUT``: the same table in any order, on any number of processes, killed or not."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.archive.job import ArchiveJob
from runtime.archive.result import FileResult
from runtime.classifier import Model
from runtime.cli import classify_archive
from runtime.cli.main import main
from runtime.errors import ConfigError, TinysceneError
from tests.runtime.archive.conftest import Classify


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def table(cards: Path, classify: Classify, tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    assert classify(cards, "-o", path) == 0
    return path


def test_a_row_for_every_window_with_its_time_of_day(cards: Path, model: Model, table: Path) -> None:
    files = sorted(str(path) for path in cards.rglob("*.*"))
    found = rows(table)
    assert [*dict.fromkeys(row["file"] for row in found)] == files
    for name in files:
        samples, rate = soundfile.read(name, dtype="float32")
        expected = model.windows(samples, rate)
        mine = [row for row in found if row["file"] == name]
        assert [row["label"] or None for row in mine] == [window.label for window in expected]
        assert [float(row["start_s"]) for row in mine] == [window.start_s for window in expected]
        for row, window in zip(mine, expected, strict=True):
            assert row["state"] == window.state
            expected_text = "" if window.probability is None else repr(round(window.probability, 6))
            assert row["probability"] == expected_text
    times = [row["time"] for row in found if row["file"].endswith("_055959.wav")]
    assert times[:2] == ["2024-06-01T05:59:59.000", "2024-06-01T06:00:00.000"]
    assert not [row["time"] for row in found if row["file"].endswith("take.flac") and row["time"]]


def test_processes_give_the_same_bytes_and_a_picture_lies_beside_them(
    cards: Path, model_path: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib draws")
    monkeypatch.undo()
    out = tmp_path / "out" / "two.csv"
    out.parent.mkdir()
    command = ["classify", str(cards / "b"), str(cards), "--model", str(model_path), "-o", str(out)]
    assert main([*command, "--jobs", "2"]) == 0
    assert out.read_bytes() == table.read_bytes()
    assert sorted(path.name for path in out.parent.iterdir()) == ["two.csv", "two.csv.hours.png"]


def test_rows_for_events_and_for_clips_are_those_of_the_command_without_a_table(
    cards: Path, classify: Classify, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (cards, "--hop", "0.25", "--threshold", "0.4", "--min-duration", "0", "--cooldown", "0")
    assert classify(*options, "-o", tmp_path / "e.jsonl", "--events") == 0
    assert classify(*options, "-o", tmp_path / "c.jsonl", "--clips", "--scores") == 0
    capsys.readouterr()
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert classify(*options, "--events", "--json") == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    offsets = [line for line in printed if line.get("event") == "offset"]
    assert len(lines) == len(offsets) > 3
    key = ("file", "start_s", "end_s", "label")
    assert sorted(tuple(line[name] for name in key) for line in lines) == sorted(
        tuple(line[name] for name in key) for line in offsets
    )
    clips = [line for line in printed if line.get("span") == "clip"]
    table = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    assert [(row["file"], row["label"], row["end_s"], row["state"]) for row in table] == sorted(
        (clip["file"], clip["label"], clip["end_s"], clip["state"]) for clip in clips
    )
    assert list(table[0]["scores"]) == ["hum", "dog", "clock", "rain"] and "start_s" in table[0]


def test_the_table_does_not_depend_on_the_order_of_results_or_names(
    cards: Path, classify: Classify, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = classify_archive.classify_in_processes

    def backwards(job: ArchiveJob, paths: Sequence[str], processes: int) -> Iterator[FileResult]:
        return engine(job, paths[::-1], processes)

    monkeypatch.setattr(classify_archive, "classify_in_processes", backwards)
    assert classify(cards / "b", cards, cards / "a", "-o", tmp_path / "backwards.csv") == 0
    assert table.read_bytes() == (tmp_path / "backwards.csv").read_bytes()


def test_bad_files_are_listed_at_the_end_and_the_rest_is_done(
    cards: Path, classify: Classify, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = table.read_bytes()
    (cards / "a" / "broken.wav").write_bytes(b"RIFF and no more")
    (cards / "empty.wav").write_bytes(b"")
    capsys.readouterr()
    assert classify(cards, tmp_path / "nowhere.wav", "-o", table) == 1
    *_, first, second, third, last = capsys.readouterr().err.splitlines()
    assert "broken.wav" in first and "empty.wav" in second and "nowhere.wav" in third
    assert "3 of 8 files" in last and table.read_bytes() == good
    (cards / "a" / "broken.wav").write_bytes((cards / "b" / "silence, with comma.wav").read_bytes())
    (cards / "empty.wav").unlink()
    assert classify(cards, "-o", table) == 0
    assert "5 files were classified before" in capsys.readouterr().err
    assert len(rows(table)) == good.count(b"\n") - 1 + 2
    assert not list(tmp_path.glob("*.journal"))


def test_where_no_file_can_be_used_there_is_no_table(tmp_path: Path, classify: Classify) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF and no more")
    assert classify(tmp_path, "-o", tmp_path / "t.csv") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["broken.wav"]


def test_a_run_that_was_killed_goes_on_and_does_no_file_twice(
    cards: Path, classify: Classify, table: Path, tmp_path: Path, model_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Killed for real after some results; a file of an hour makes sure that it is not done by then."""
    killed = tmp_path / "killed.csv"
    soundfile.write(cards / "c.wav", np.zeros(3600 * 8000, np.int16), 8000)  # of an hour, and so the first
    command = [sys.executable, "-m", "runtime", "classify", str(cards), "--model", str(model_path)]
    with subprocess.Popen([*command, "-o", str(killed), "--jobs", "2"]) as process:
        deadline = time.monotonic() + 60
        while _results_in(tmp_path / "killed.csv.journal") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and not killed.exists()
    done = _results_in(tmp_path / "killed.csv.journal")
    (cards / "c.wav").unlink()
    capsys.readouterr()
    assert classify(cards, "-o", killed) == 0
    assert f"{done} files were classified before" in capsys.readouterr().err
    assert 2 <= done <= 5 and killed.read_bytes() == table.read_bytes()


@pytest.mark.parametrize("shards", [[], ["--shard", "1/1"]])
def test_a_run_over_some_of_the_files_keeps_the_journal_of_a_run_over_all(
    cards: Path, classify: Classify, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, shards: list[str],
) -> None:  # fmt: skip
    engine, out = classify_archive.classify_in_processes, tmp_path / "out.csv"

    def ends_early(job: ArchiveJob, paths: Sequence[str], processes: int) -> Iterator[FileResult]:
        yield from engine(job, paths[:3], processes)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(classify_archive, "classify_in_processes", ends_early)
        classify(cards, "-o", out, *shards)
    (journal,) = tmp_path.glob("*.journal")
    capsys.readouterr()
    assert classify(cards / "b" / "silence, with comma.wav", "-o", out) == 0  # the shortest, not yet done
    assert f"{journal} stays: it has 3 other files" in capsys.readouterr().err and len(rows(out)) == 2
    assert classify(cards, "-o", out) == 0
    assert f"{3 if shards else 4} files were classified before" in capsys.readouterr().err
    assert out.read_bytes() == table.read_bytes() and not list(tmp_path.glob("*.journal"))


def _results_in(journal: Path) -> int:
    return journal.read_bytes().count(b'"crc32"') if journal.exists() else 0


def test_shards_put_together_are_the_table(
    cards: Path, classify: Classify, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)  # shards go by path: the same in every run of this test
    table, out = Path("table.csv"), Path("parts.csv")
    assert classify("cards", "-o", table) == 0
    for number in (1, 2, 3):
        assert classify("cards", "-o", out, "--shard", f"{number}/3") == 0
    parts = [rows(Path(f"parts.{number}-of-3.csv")) for number in (1, 2, 3)]
    assert not out.exists() and sum(map(len, parts)) == len(rows(table))
    files = [{row["file"] for row in part} for part in parts]
    assert sum(map(len, files)) == len(set.union(*files)) == 5
    Path("parts.csv.2-of-3.journal").unlink()  # as of a job that never ran
    capsys.readouterr()
    assert classify("cards", "-o", out) == 0
    assert f"{5 - len(files[1])} files were classified before" in capsys.readouterr().err
    assert out.read_bytes() == table.read_bytes() and not list(tmp_path.glob("*.journal"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", ""], r"\.csv"),
        (["-o", "results.txt"], "--format"),
        (["-o", "t.csv", "--json"], "--json"),
        (["-o", "t.csv", "--events", "--scores"], "--scores"),
        (["-o", "t.csv", "--jobs", "0"], "--jobs is 0"),
        (["-o", "t.csv", "--shard", "0/3"], "3/8"),
        (["-o", "t.csv", "--shard", "third"], "3/8"),
        (["-o", "t.csv", "--hop", "0"], "hop"),
        (["--shard", "1/2"], "belongs to a table"),
        (["--clips"], "belongs to a table"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_written(
    cards: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    options: list[str], words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words):
        main(["classify", str(cards), "--model", str(model_path), *options])
    assert list(tmp_path.iterdir()) == [cards]


def test_an_output_that_is_read_is_refused_and_stays_as_it_was(
    cards: Path, model_path: Path, classify: Classify, tmp_path: Path
) -> None:
    recording, model, picture = cards / "b" / "take.flac", tmp_path / "m.onnx", tmp_path / "t.csv.hours.png"
    (tmp_path / "link.csv").symlink_to(recording)
    shutil.copy(recording, picture)  # libsndfile knows it by its content
    shutil.copy(model_path, model)
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    for inputs, output in (
        ([recording], recording), ([cards], recording), ([cards], tmp_path / "link.csv"),
        ([picture], tmp_path / "t.csv"), ([cards], model),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="which this command reads"):
            classify(*inputs, "--model", model, "-o", output, "--format", "csv")
    assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()} == before


def test_a_table_that_cannot_be_written_is_one_sentence_before_any_work(
    cards: Path, classify: Classify, tmp_path: Path
) -> None:
    for name, fault in (("nowhere/t.csv", "There is no folder"), ("a" * 300 + ".csv", "Cannot write")):
        with pytest.raises(TinysceneError, match=fault):
            classify(cards, "-o", tmp_path / name)


def test_other_options_than_those_of_the_run_that_was_killed_are_refused(
    cards: Path, classify: Classify, tmp_path: Path
) -> None:
    (cards / "broken.wav").write_bytes(b"RIFF and no more")
    assert classify(cards, "-o", tmp_path / "t.csv") == 1  # whose journal stays for the broken file
    with pytest.raises(ConfigError, match=r"hop was 1\.0, now 0\.5"):
        classify(cards, "-o", tmp_path / "t.csv", "--hop", "0.5")


@pytest.mark.skipif(sys.platform == "win32", reason="names are Unicode there")
def test_names_that_no_terminal_can_show(cards: Path, classify: Classify, tmp_path: Path) -> None:
    wav = (cards / "b" / "silence, with comma.wav").read_bytes()
    for name in (b"caf\xe9.wav", b"two\nlines.wav"):
        Path(os.fsdecode(bytes(cards) + b"/" + name)).write_bytes(wav)
    assert classify(cards, "-o", tmp_path / "t.csv") == 0
    names = {Path(row["file"]).name for row in rows(tmp_path / "t.csv")}
    assert {r"caf\xe9.wav", "two\nlines.wav"} <= names
    assert classify(cards, "-o", tmp_path / "labels", "--format", "audacity") == 0
    assert len(list((tmp_path / "labels").rglob("*.txt"))) == 7


def test_warnings_name_their_file(
    cards: Path, classify: Classify, tmp_path: Path, noise: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(cards / "cancels.wav", np.stack([noise[:16_000], -noise[:16_000]], axis=1), 8000)
    assert classify(cards, "-o", tmp_path / "t.csv") == 0
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert "cancels.wav" in warning and "--channel" in warning


def test_a_terminal_gets_a_bar_with_hours_and_a_pipe_does_not(
    cards: Path, model_path: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "runtime", "classify", str(cards), "--model", str(model_path)]
    command += ["--jobs", "1", "-o", str(tmp_path / "t.csv")]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    done = subprocess.run(command, stderr=theirs, stdout=theirs, timeout=120)
    os.close(theirs)
    seen = os.read(ours, 65_536).decode()
    os.close(ours)
    assert done.returncode == 0 and "5/5 files, 0.0 h done, about 0.0 h left" in seen
    quiet = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert quiet.stdout == "" and quiet.stderr.count("\n") == 1 and "times real time" in quiet.stderr
