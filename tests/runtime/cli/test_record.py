"""``record`` as a process: takes of files and pipes, bad takes, and what is left when it is stopped."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 16_000


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "runtime", "record", *arguments]


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(*arguments), input=stdin, capture_output=True, timeout=60)


def takes(folder: Path) -> list[np.ndarray]:
    return [soundfile.read(path, dtype="int16")[0] for path in sorted(folder.iterdir())]


@pytest.fixture
def sound(noise: np.ndarray) -> np.ndarray:
    return np.round(noise * 32768).astype(np.int16)


@pytest.fixture
def wav(tmp_path: Path, sound: np.ndarray) -> Path:
    path = tmp_path / "sound.wav"
    soundfile.write(path, sound, RATE, subtype="PCM_16")  # eight seconds
    return path


def test_a_file_becomes_takes_in_its_class_folder(wav: Path, tmp_path: Path, sound: np.ndarray) -> None:
    options = ["--source", str(wav), "--into", str(tmp_path / "sounds"), "--seconds", "0.5", "--count", "3"]
    done = run("dog", *options)
    assert done.returncode == 0 and b"3 of 3 takes" in done.stderr and b"\r" not in done.stderr
    folder = tmp_path / "sounds" / "dog"
    names = sorted(path.name for path in folder.iterdir())
    assert all(re.fullmatch(rf"dog_\d{{8}}T\d{{6}}_00{i}.wav", name) for i, name in enumerate(names, 1))
    assert len({name.rpartition("_")[0] for name in names}) == 1
    assert np.array_equal(np.concatenate(takes(folder)), sound[: 3 * RATE // 2])
    info = soundfile.info(folder / names[0])
    assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16")
    assert run("dog", *options).returncode == 0  # perhaps in the same second
    sessions = {path.name.rpartition("_")[0] for path in folder.iterdir()}
    assert len(sessions) == 2 and len(takes(folder)) == 6


def test_a_source_that_ends_leaves_what_is_finished(wav: Path, tmp_path: Path) -> None:
    done = run("dog", "--source", str(wav), "--into", str(tmp_path), "--seconds", "3")
    assert done.returncode == 1 and b"ends before take 3/20" in done.stderr
    assert [len(take) for take in takes(tmp_path / "dog")] == [3 * RATE] * 2


def test_silent_and_clipped_takes_are_recorded_again(tmp_path: Path, sound: np.ndarray) -> None:
    good, clipped = sound[:RATE], sound[:RATE].copy()
    clipped[500:503] = -32768, -32767, 32767
    peak = sound[RATE : 2 * RATE].copy()
    peak[500:502] = 32767  # two samples at full scale are no clipping
    pcm = np.concatenate([np.full(RATE, 90, np.int16), good, clipped, peak]).astype("<i2").tobytes()
    done = run(
        "dog", "--source", "-", "--raw", "--rate", str(RATE), "--pause", "0", "--count", "2", "--into",
        str(tmp_path), stdin=pcm,
    )  # fmt: skip
    assert done.returncode == 0
    assert b"take 1/2 again: it is silent" in done.stderr and b"take 2/2 again: it is clipped" in done.stderr
    first, second = takes(tmp_path / "dog")
    assert np.array_equal(first, good) and np.array_equal(second, peak)


def test_a_muted_input_is_one_sentence(tmp_path: Path) -> None:
    done = run(
        "dog", "--source", "-", "--raw", "--pause", "0", "--seconds", "0.1", "--into", str(tmp_path),
        stdin=bytes(2 * 100_000),
    )  # fmt: skip
    assert done.returncode == 2 and b"error: 10 takes in a row could not be used" in done.stderr
    assert b"Traceback" not in done.stderr and not takes(tmp_path / "dog")


def test_the_pause_is_not_recorded(tmp_path: Path, wav: Path, sound: np.ndarray) -> None:
    run("dog", "--source", str(wav), "--into", str(tmp_path), "--count", "1", "--pause", "2")
    (take,) = takes(tmp_path / "dog")
    assert np.array_equal(take, sound[2 * RATE : 3 * RATE])


def test_a_file_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    done = run("dog", "--source", str(tmp_path / "missing.wav"), "--into", str(tmp_path))
    assert done.returncode == 2 and b"missing.wav" in done.stderr and done.stderr.startswith(b"error: ")


def test_one_channel_of_two(tmp_path: Path, sound: np.ndarray) -> None:
    stereo = tmp_path / "stereo.wav"
    soundfile.write(stereo, np.stack([sound, sound[::-1]], axis=1), RATE, subtype="PCM_16")
    options = ["--source", str(stereo), "--into", str(tmp_path), "--count", "1", "--channel"]
    assert run("dog", *options, "1").returncode == 0
    assert np.array_equal(takes(tmp_path / "dog")[0], sound[::-1][:RATE])
    assert b"There is no channel 2" in run("cat", *options, "2").stderr


@pytest.mark.parametrize("label", ["", ".", "..", "a/b", "../up", "a\\b", " dog", "do\ng", "x" * 101, ".dog"])
def test_a_label_that_is_no_folder_name_is_one_sentence(label: str, tmp_path: Path, wav: Path) -> None:
    done = run(label, "--source", str(wav), "--into", str(tmp_path / "sounds"))
    errors = [line for line in done.stderr.splitlines() if line.startswith(b"error: ")]
    assert done.returncode == 2 and len(errors) == 1 and b"is no name of a folder" in errors[0]
    assert not (tmp_path / "sounds").exists() and b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "option", [("--seconds", "nan"), ("--seconds", "0.00001"), ("--count", "0"), ("--pause", "-1")]
)
def test_values_that_make_no_sense_are_one_sentence(option: tuple[str, str], tmp_path: Path) -> None:
    done = run("dog", "--into", str(tmp_path), *option)
    assert done.returncode == 2 and done.stderr.startswith(b"error: " + option[0].encode())


def test_a_stopped_command_leaves_whole_takes_only(tmp_path: Path, sound: np.ndarray) -> None:
    process = subprocess.Popen(
        command("dog", "--source", "-", "--raw", "--rate", str(RATE), "--pause", "0",
                "--into", str(tmp_path)),
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stderr is not None
    process.stdin.write(sound[: 5 * RATE // 2].tobytes())  # two takes and a half; the pipe stays open
    process.stdin.flush()
    end = time.monotonic() + 30
    while len(list((tmp_path / "dog").glob("dog_*.wav"))) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert b"2 of 20 takes" in process.stderr.read()
    assert [len(take) for take in takes(tmp_path / "dog")] == [RATE] * 2
    process.stdin.close()
    process.stderr.close()


def test_a_terminal_shows_level_and_countdown(tmp_path: Path, wav: Path) -> None:
    ours, theirs = pty.openpty()
    options = ["--source", str(wav), "--into", str(tmp_path), "--count", "1", "--pause", "1"]
    process = subprocess.Popen(command("dog", *options), stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # EIO: the other end is closed
        pass
    os.close(ours)
    assert process.wait(20) == 0
    assert re.search(rb"\r1/1 in +[\d.]+ s .*dBFS", shown)
