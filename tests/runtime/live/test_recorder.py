"""Recordings: what they hold, where they end, and what is left of them after SIGKILL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.devices.file_source import FileSource
from runtime.devices.source import Chunk
from runtime.errors import ConfigError
from runtime.live.recorder import RecordedBlock, Recorder


@pytest.fixture
def wav(tmp_path: Path, noise: np.ndarray) -> Path:
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise, 32_000, subtype="PCM_16")
    return path


def listen(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "runtime", "listen", *arguments]
    return subprocess.run(command, capture_output=True, timeout=60)


class Repeated(FileSource):
    """A file that is read again and again, each time in one chunk."""

    def poll(self) -> Chunk:
        return Chunk(soundfile.read(self.path, dtype="float32", always_2d=True)[0], 0.0)


class Lossy:
    """Chunks of int16 samples at 8 kHz, each with the seconds that were lost before it."""

    name, sample_rate = "lossy", 8000

    def __init__(self, chunks: list[tuple[np.ndarray, float | None]]) -> None:
        self.chunks = chunks

    def poll(self) -> Chunk:
        if not self.chunks:
            raise EOFError
        samples, lost_s = self.chunks.pop(0)
        return Chunk((samples / np.float32(32768)).astype(np.float32)[:, None], 0.0, lost_s)

    def close(self) -> None:
        pass


def recorded(folder: Path) -> np.ndarray:
    """All recordings, one after the other; names of the same second end with a number."""
    paths = sorted(folder.glob("*.wav"), key=lambda path: (path.stem[:15], len(path.stem), path.stem))
    return np.concatenate([soundfile.read(path)[0] for path in paths])


def test_recordings_hold_what_was_classified(wav: Path, tmp_path: Path, model_path: Path) -> None:
    folder = tmp_path / "recorded"
    done = listen(str(wav), "--record", str(folder), "--record-limit", "1", "--model", str(model_path))
    assert done.returncode == 0 and b"recorded in" in done.stderr
    (recording,) = folder.glob("*")
    assert np.array_equal(soundfile.read(recording)[0], soundfile.read(wav)[0])


def test_a_recording_has_the_channel_that_is_classified(
    tmp_path: Path, noise: np.ndarray, model_path: Path
) -> None:
    soundfile.write(tmp_path / "stereo.wav", np.stack([noise, 0.5 * noise[::-1]], axis=1), 32_000)
    stereo, common = str(tmp_path / "stereo.wav"), ["--model", str(model_path), "--hop", "1"]
    assert listen(stereo, "--channel", "1", "--record", str(tmp_path / "one"), *common).returncode == 0
    (recording,) = (tmp_path / "one").glob("*")
    assert np.array_equal(soundfile.read(recording)[0], soundfile.read(stereo)[0][:, 1])
    refused = listen(stereo, "--channel", "2", "--record", str(tmp_path / "none"), *common)
    assert refused.returncode == 2 and b"There is no channel 2" in refused.stderr
    assert not list((tmp_path / "none").glob("*"))


def test_recordings_end_at_their_limit(wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "recorded"
    for _ in range(3):  # a file of 256,044 bytes fits once, whatever later runs ask for
        recorder = Recorder(FileSource(wav), folder, 300_000)
        for _ in range(2):
            assert recorder.poll() is not None
        recorder.close()
        assert 256_044 <= sum(path.stat().st_size for path in folder.iterdir()) <= 300_000
        assert all(soundfile.info(path).frames for path in folder.iterdir())
    assert capsys.readouterr().err.count(f"recording into {folder} ends: its limit is reached") == 2
    with pytest.raises(ConfigError, match="allow more"):
        Recorder(FileSource(wav), folder, 0)


def test_files_of_the_same_second_get_names_of_their_own(wav: Path, tmp_path: Path) -> None:
    recorder = Recorder(Repeated(wav), tmp_path / "recorded", 10e6, file_s=1.0)
    recorder.poll(), recorder.poll(), recorder.poll()
    recorder.close()
    assert len(list((tmp_path / "recorded").iterdir())) == 12
    assert np.array_equal(recorded(tmp_path / "recorded"), np.tile(soundfile.read(wav)[0], 3))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of a process are POSIX")
def test_a_disk_that_takes_no_more_ends_the_recording_and_not_the_listening(
    wav: Path, tmp_path: Path, model_path: Path
) -> None:
    """RLIMIT_FSIZE stands in for a full disk: both fail in write(2)."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from runtime.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["listen", str(wav), "--hop", "1", "--json", "--model", str(model_path)]
    folder = tmp_path / "recorded"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--record", str(folder)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr.count("File too large") == 1
    windows = [line for line in map(json.loads, done.stdout.splitlines()) if "state" in line]
    assert len(windows) == 4 and len(recorded(folder)) == 48_000  # whole half seconds


def test_a_recording_that_is_deleted_meanwhile_takes_no_room(
    wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [*glob(self, pattern), self / "gone.wav"])
    recorder = Recorder(FileSource(wav), tmp_path / "recorded", 300_000)
    recorder.poll()
    recorder.close()
    assert len(list((tmp_path / "recorded").iterdir())) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is POSIX")
def test_at_most_a_second_is_lost_when_the_process_is_killed(
    tmp_path: Path, noise: np.ndarray, model_path: Path
) -> None:
    pcm, folder = np.round(noise * 32_767).astype("<i2"), tmp_path / "recorded"
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime", "listen", "-", "--rate", "32000", "--json", "--hop", "0.05",
         "--record", str(folder), "--model", str(model_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin and process.stdout
    process.stdin.write(pcm[:118_000].tobytes())
    process.stdin.flush()
    end_s = 0.0
    while end_s < 3.6:  # a window that ends there was classified, so its samples were read
        end_s = json.loads(process.stdout.readline()).get("end_s") or end_s
    process.send_signal(signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL
    process.communicate()
    (recording,) = folder.iterdir()
    samples, rate = soundfile.read(recording, dtype="int16")
    assert rate == 32_000 and len(samples) >= 3.6 * rate - rate
    assert np.array_equal(samples, pcm[: len(samples)])


def test_a_recording_can_be_read_while_it_grows(wav: Path, tmp_path: Path) -> None:
    recorder = Recorder(FileSource(wav), tmp_path / "recorded", 10e6)
    lengths = []
    for _ in range(2):
        recorder.poll()
        (path,) = (tmp_path / "recorded").iterdir()
        lengths.append(soundfile.info(path).frames)
    recorder.close()
    assert lengths == [64_000, 128_000]
    assert time.time() - path.stat().st_mtime < 60


def test_it_says_where_every_sample_was_written(tmp_path: Path) -> None:
    """Also across files, and after a gap, which a file has no samples of."""
    rng = np.random.default_rng(0)
    sound = rng.integers(-9000, 9000, 30_000).astype(np.int16)
    chunks = [(sound[:10_000], None), (sound[10_000:12_500], None), (sound[20_500:], 1.0)]
    blocks: list[RecordedBlock] = []
    recorder = Recorder(Lossy(chunks), tmp_path, 1e6, file_s=1.2, on_write=blocks.append)
    for _ in range(3):
        recorder.poll()
    assert recorder.elapsed_s == 30_000 / 8000
    recorder.close()
    assert sum(block.frames for block in blocks) == 22_000 and len({block.file for block in blocks}) == 3
    for block in blocks:
        written = soundfile.read(tmp_path / block.file, dtype="int16")[0][block.first_frame :][: block.frames]
        start = round(block.start_s * 8000)
        assert np.array_equal(written, sound[start : start + block.frames])


@pytest.mark.parametrize(
    ("lost", "lengths"),
    [([12.0, None, 0.2], [8000, 16000, 8000]), ([0.05, 0.04, 0.0], [32000]),
     ([0.05, 0.04, 0.03], [24000, 8000])],
)  # fmt: skip
def test_a_file_ends_where_samples_were_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: list[float | None], lengths: list[int]
) -> None:
    """So that a time in a file is that of the sound; many short gaps add up to a long one."""
    second = np.full(8000, 1000, np.int16)
    source = Lossy([(second, lost_s) for lost_s in [None, *lost]])
    recorder = Recorder(source, tmp_path, 1e6)
    for number in range(4):
        monkeypatch.setattr("time.strftime", lambda _, number=number: f"20261127-12000{number}")
        recorder.poll()
    recorder.close()
    paths = sorted(tmp_path.iterdir())
    assert [soundfile.info(path).frames for path in paths] == lengths
    begins = np.cumsum([0, *lengths[:-1]]) // 8000
    assert [path.stem for path in paths] == [f"20261127-12000{begin}" for begin in begins]
