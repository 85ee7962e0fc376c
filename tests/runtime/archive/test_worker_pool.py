"""Processes that classify: one that dies costs a file, and none outlives the command."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.archive import worker_pool
from runtime.archive.job import ArchiveJob, FileClassifier
from runtime.archive.result import FileResult
from runtime.archive.worker_pool import classify_in_processes
from runtime.classifier import Model
from runtime.errors import ModelFileError


class Fragile(FileClassifier):
    """Dies of files with ``crash`` in their names, as a decoder in C may."""

    def __call__(self, path: str | Path) -> FileResult:
        if "crash" in str(path):
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().__call__(path)


def fragile_work(*arguments: object) -> None:
    worker_pool.FileClassifier = Fragile  # type: ignore[misc]
    worker_pool._work(*arguments)  # type: ignore[arg-type]


def test_a_file_that_kills_its_process_is_reported_and_the_others_are_done(
    cards: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted(map(str, cards.rglob("*.wav")))
    crash = cards / "crash.wav"
    crash.write_bytes(Path(paths[0]).read_bytes())
    monkeypatch.setattr(worker_pool, "_work", fragile_work)  # here; a process imports the real one
    found = list(classify_in_processes(ArchiveJob.of(model), [paths[0], str(crash), *paths[1:]], 1))
    errors = [result.error for result in found if result.error]
    assert len(found) == len(paths) + 1 and len(errors) == 1
    assert "crash.wav" in errors[0] and "SIGSEGV" in errors[0]


def test_a_model_that_is_another_one_by_now_is_an_error(cards: Path, model: Model) -> None:
    job = dataclasses.replace(ArchiveJob.of(model), checksum="0" * 64)
    with pytest.raises(ModelFileError, match="another model"):
        list(classify_in_processes(job, list(map(str, cards.rglob("*.wav"))), 2))


def test_no_process_outlives_a_command_that_is_killed(tmp_path: Path, model_path: Path) -> None:
    if not Path("/proc/self/task").exists():
        pytest.skip("needs /proc to see processes")
    for name in ("long.wav", "longer.wav"):
        soundfile.write(tmp_path / name, np.zeros(3600 * 8000, np.int16), 8000)
    command = [sys.executable, "-m", "runtime", "classify", str(tmp_path), "--model", str(model_path)]
    with subprocess.Popen([*command, "-o", str(tmp_path / "t.csv"), "--jobs", "2"]) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 60
        while len(workers := _workers(children)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(workers) == 2 and not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def _workers(children: Path) -> list[str]:
    """Those that run already; multiprocessing has a process of its own beside them."""
    pids = children.read_text().split()
    return [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_ctrl_c_ends_all_processes_without_a_word(cards: Path, model_path: Path, tmp_path: Path) -> None:
    """A terminal sends it to the workers as well."""
    for name in ("long.wav", "longer.wav"):
        soundfile.write(cards / name, np.zeros(3600 * 8000, np.int16), 8000)
    command = [sys.executable, "-m", "runtime", "classify", str(cards), "--model", str(model_path)]
    command += ["-o", str(tmp_path / "t.csv"), "--jobs", "3"]
    journal, deadline = tmp_path / "t.csv.journal", time.monotonic() + 60
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True, text=True) as process:
        while time.monotonic() < deadline and not (journal.exists() and b'"crc32"' in journal.read_bytes()):
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, text = process.communicate(timeout=60)
    assert (process.returncode, text) == (130, "")
