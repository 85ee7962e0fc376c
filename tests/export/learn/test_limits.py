"""Full disks, and folders with as few files as possible or with more than fit into memory."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from export.cli.main import main
from export.learn.confidence import negative_windows
from export.learn.data.negatives import find_negatives
from export.verification.window_scores import parts_of, targets_of, windows_of
from runtime import load_model
from tests.export.learn.sounds import RATE, write_sounds, write_tone
from train.data import ClipData, Folder

resource = pytest.importorskip("resource")

SHORT = ("--budget", "tiny", "--steps", "20", "--set", "trainer.accelerator=cpu", "--tolerance", "1")


@pytest.fixture(autouse=True)
def _no_microphones(monkeypatch):
    monkeypatch.delenv("MIC_IR_DIR", raising=False)


def learn_with(limit_bytes: int | None, sounds: Path, output: Path) -> subprocess.CompletedProcess[str]:
    """Run the command where no file may grow beyond a limit, as on a full disk."""

    def limit() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    command = [sys.executable, "-m", "export", "learn", str(sounds), "-o", str(output), *SHORT]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # Python would store cut .pyc files for good
    return subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=limit, env=environment
    )


def is_of_a_full_disk(done: subprocess.CompletedProcess[str]) -> bool:
    last = done.stderr.strip().splitlines()[-1]
    return done.returncode == 2 and "disk is full" in last and "Traceback" not in done.stderr


def test_a_disk_that_is_full_from_the_start_is_a_sentence(tmp_path):
    sounds = write_sounds(tmp_path / "sounds", 3)
    assert is_of_a_full_disk(learn_with(200, sounds, tmp_path / "my.onnx"))


@pytest.mark.slow
def test_what_a_full_disk_ended_goes_on_when_there_is_room(tmp_path):
    sounds, output = write_sounds(tmp_path / "sounds", 5), tmp_path / "my.onnx"
    for limit_bytes in (60_000, 400_000):  # the log of the training; its first checkpoint
        assert is_of_a_full_disk(learn_with(limit_bytes, sounds, output))
        assert not output.exists()
    done = learn_with(None, sounds, output)
    assert done.returncode == 0, done.stderr
    assert load_model(output).labels == ("bell", "dog")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 30 MB, which only a superuser can mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted: {error}")
    if done.returncode:
        pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_small_disk_that_fills_up_is_a_sentence_and_goes_on_when_there_is_room(tmp_path, small_disk):
    sounds, output = write_sounds(tmp_path / "sounds", 5), small_disk / "my.onnx"
    ballast = small_disk / "photos"
    for free in (0, 200_000):
        ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - free))
        assert is_of_a_full_disk(learn_with(None, sounds, output))
        assert not output.exists()
        ballast.unlink()
    done = learn_with(None, sounds, output)
    assert done.returncode == 0, done.stderr
    assert load_model(output).labels == ("bell", "dog")


@pytest.mark.slow  # a whole `learn`
def test_three_clips_a_class_are_enough(tmp_path, capsys):
    output = tmp_path / "my.onnx"
    assert main(["learn", str(write_sounds(tmp_path / "sounds", 3)), "-o", str(output), *SHORT]) == 0
    assert "1 recording, 2 to train on" in capsys.readouterr().out
    assert load_model(output).labels == ("bell", "dog")


def test_windows_come_a_few_at_a_time(tmp_path):
    corpus = Folder(str(write_sounds(tmp_path, 40)), no_groups=True, val_share=0.9, test_share=0.0)
    data = ClipData(corpus, sample_rate=RATE, in_memory=False)
    data.setup("validate")
    parts = list(parts_of(data, "val"))
    waveform, target = windows_of(data, "val")
    assert [len(part) for part in parts] == [32, 32, 8]
    np.testing.assert_array_equal(np.concatenate(parts), waveform.numpy())
    np.testing.assert_array_equal(targets_of(data, "val"), target)


def test_long_negatives_give_some_windows(tmp_path, monkeypatch):
    monkeypatch.setattr("export.learn.confidence._WINDOWS", 60)
    for number in range(5):
        write_tone(tmp_path / f"{'abcde'[number] * 3}.wav", 500, number, seconds=50)
    negatives = find_negatives([tmp_path])
    assert negatives.count == 11
    assert len(negative_windows(negatives, RATE, RATE)) == 5 * 11
    everything = dataclasses.replace(negatives, held_out=())
    assert len(negative_windows(everything, RATE, RATE)) == 6 * 10
