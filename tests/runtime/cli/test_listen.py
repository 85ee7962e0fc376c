"""``listen`` as a process: pipes, files, many inputs, recordings, and a quiet end."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.classifier import Model
from runtime.cli.main import main
from runtime.devices.file_source import FileSource
from runtime.devices.pcm import PcmSource
from runtime.devices.source import Chunk
from runtime.errors import ConfigError
from runtime.live import recorder as recorder_module
from runtime.live.recorder import Recorder
from tests.conftest import ROOT


def run(*arguments: str, stdin: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "runtime", "listen", *arguments],
        input=stdin, capture_output=True, timeout=60, env={**os.environ, **more},
    )  # fmt: skip


def lines(text: bytes | str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def wav(tmp_path: Path, noise: np.ndarray) -> Path:
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise, 32_000, subtype="PCM_16")
    return path


@pytest.mark.parametrize(("kind", "scale"), [("s16", 2**15), ("s32", 2**31), ("f32", 1)])
def test_pcm_on_stdin(model: Model, model_path: Path, noise: np.ndarray, kind: str, scale: int) -> None:
    dtype = {"s16": "<i2", "s32": "<i4", "f32": "<f4"}[kind]
    pcm = (np.round(noise * 2**15) / 2**15 * scale).astype(dtype)
    stereo = np.repeat(pcm[:, None], 2, axis=1)
    done = run(
        "-", "--rate", "32000", "--channels", "2", "--format", kind, "--json", "--model", str(model_path),
        stdin=stereo.tobytes() + b"\0",
    )  # fmt: skip
    assert done.returncode == 0
    expected = model.windows((np.round(noise * 2**15) / 2**15).astype(np.float32), 32_000, 0.25)
    windows = [line for line in lines(done.stdout) if "state" in line]
    assert [w["scores"] for w in windows] == [p.scores for p in expected]
    assert {"late_s", "dropped", "gap", "smoothed", "utc"} <= set(windows[0])
    assert b"listening to - (32000 -> 32000 Hz), every 0.25 s" in done.stderr


def test_a_file_and_its_live_stream_agree_on_events(
    wav: Path, model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--hop", "0.25", "--events", "--json", "--model", str(model_path)]
    main(["classify", str(wav), *common])
    of_file = lines(capsys.readouterr().out)[:-1]
    main(["listen", str(wav), *common])
    live = lines(capsys.readouterr().out)
    assert all(event.pop("utc") for event in live)  # a file's own events have no time of day
    assert live and [{**e, "source": 0} for e in live] == [{**e, "source": 0} for e in map(renamed, of_file)]


def renamed(event: dict[str, object]) -> dict[str, object]:
    return {"source" if key == "file" else key: value for key, value in event.items()}


def test_thresholds_on_the_command_line(
    wav: Path, model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["classify", str(wav), "--events", "--json", "--model", str(model_path)]
    main([*common, "--hop", "0.25"])
    labels = {str(e["label"]) for e in lines(capsys.readouterr().out)[:-1]}
    assert labels
    silenced = [f"--threshold={label}=1.0" for label in labels]
    main([*common, *silenced])
    assert not {e["label"] for e in lines(capsys.readouterr().out)[:-1]} & labels
    for wrong in ("much", "cat=0.5", "1.5"):
        with pytest.raises(ConfigError):
            main(["listen", str(wav), "--model", str(model_path), "--threshold", wrong])


def test_many_inputs(
    wav: Path, tmp_path: Path, noise: np.ndarray, model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.flac"
    soundfile.write(other, noise[::-1], 44_100)
    main(["listen", "--input", str(wav), "--input", str(other), "--json", "--model", str(model_path)])
    heard = [line for line in lines(capsys.readouterr().out) if "state" in line]
    assert {line["source"] for line in heard} == {str(wav), str(other)}


@pytest.mark.parametrize(
    "arguments",
    [["missing.wav"], ["-", "--rate", "7"], ["-", "--rate", "0"], ["-", "--channels", "0"],
     ["-", "--input", "-"],
     ["-", "--record", "kept", "--record-limit", "nan"]],
)  # fmt: skip
def test_bad_inputs_are_one_sentence(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = run(*arguments, "--model", str(model_path))
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: ") and done.stderr.count(b"\n") == 1
    assert not list(tmp_path.iterdir())


def test_samples_that_are_not_finite_are_a_gap(model_path: Path, noise: np.ndarray) -> None:
    broken = noise.copy()
    broken[50_000] = np.nan
    done = run("-", "--format", "f32", "--json", "--model", str(model_path), stdin=broken.tobytes())
    states = [line["state"] for line in lines(done.stdout) if "state" in line]
    assert done.returncode == 0 and states[0] == "ok" and "gap" in states and states[-1] == "ok"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly(model_path: Path, noise: np.ndarray, how: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime", "listen", "-", "--json", "--model", str(model_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # tests that a shell runs in its background inherit SIGINT as ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write((noise * 32767).astype("<i2").tobytes())
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(how)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and b"Traceback" not in errors


def test_a_closed_pipe_ends_it_quietly(model_path: Path, wav: Path) -> None:
    command = f"{sys.executable} -m runtime listen {wav} --json --hop 0.01 --model {model_path}"
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {command} | head -1"], capture_output=True, timeout=60
    )
    assert done.returncode == 0 and b"Traceback" not in done.stderr and done.stdout.count(b"\n") == 1


def test_a_terminal_as_stdin_is_told_from_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda fd: True)
    with pytest.raises(ConfigError, match="Nothing is piped"):
        PcmSource(0, 32_000)


def test_recordings_hold_what_was_heard(wav: Path, tmp_path: Path, model_path: Path) -> None:
    kept = tmp_path / "kept"
    done = run(str(wav), "--record", str(kept), "--record-limit", "1", "--model", str(model_path))
    assert done.returncode == 0 and b"kept in" in done.stderr
    (recording,) = kept.glob("*")
    assert np.array_equal(soundfile.read(recording)[0], soundfile.read(wav)[0])


def test_a_recording_keeps_the_channel_that_is_heard(
    tmp_path: Path, noise: np.ndarray, model_path: Path
) -> None:
    soundfile.write(tmp_path / "stereo.wav", np.stack([noise, 0.5 * noise[::-1]], axis=1), 32_000)
    stereo, common = str(tmp_path / "stereo.wav"), ["--model", str(model_path), "--hop", "1"]
    assert run(stereo, "--channel", "1", "--record", str(tmp_path / "kept"), *common).returncode == 0
    (recording,) = (tmp_path / "kept").glob("*")
    assert np.array_equal(soundfile.read(recording)[0], soundfile.read(stereo)[0][:, 1])
    refused = run(stereo, "--channel", "2", "--record", str(tmp_path / "none"), *common)
    assert refused.returncode == 2 and b"There is no channel 2" in refused.stderr
    assert not list((tmp_path / "none").glob("*"))


def test_recordings_end_at_their_limit(wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept"
    for expected in (1, 1):  # a file of 256,044 bytes fits once, whatever a second run asks
        recorder = Recorder(FileSource(wav), kept, 300_000)
        for _ in range(2):
            assert recorder.poll() is not None
        recorder.close()
        assert len(list(kept.iterdir())) == expected
    assert f"recording into {kept} ends: it holds all it may" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="allow more"):
        Recorder(FileSource(wav), kept, 0)


def test_every_minute_is_kept_however_fast_it_is_read(wav: Path, tmp_path: Path, noise: np.ndarray) -> None:
    recorder = Recorder(Twice(wav), tmp_path / "kept", 10e6)
    recorder._segment = recorder._segment[:100_000]  # as a minute: files of 100,000 samples, in one second
    recorder.poll(), recorder.poll()
    recorder.close()
    kept = sorted((tmp_path / "kept").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    heard = np.concatenate([soundfile.read(path)[0] for path in kept])
    assert len(kept) == 3 and np.array_equal(heard, np.tile(soundfile.read(wav)[0], 2))


class Twice(FileSource):
    """A file that is heard two times, each in one chunk."""

    def poll(self) -> Chunk:
        return Chunk(soundfile.read(self.path, dtype="float32", always_2d=True)[0], 0.0)


def test_a_folder_that_takes_no_more_ends_the_recording_and_not_the_listening(
    wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recorder_module, "write_beside", full)
    recorder = Recorder(Twice(wav), tmp_path / "kept", 10e6)
    recorder._segment = recorder._segment[:100_000]
    for _ in range(3):
        assert len(recorder.poll().samples) == 128_000
    recorder.close()
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_a_recording_that_is_deleted_meanwhile_takes_no_room(
    wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [*glob(self, pattern), self / "gone.wav"])
    recorder = Recorder(FileSource(wav), tmp_path / "kept", 300_000)
    recorder.poll()
    recorder.close()
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_a_closed_stdin_and_an_empty_picture_are_refused(
    wav: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # as Python leaves it after `<&-`
    for arguments, sentence in ((["-"], "stdin is closed"), ([str(wav), "--top", "0"], "from 1 up")):
        with pytest.raises(ConfigError, match=sentence):
            main(["listen", *arguments, "--model", str(model_path)])


def test_systemd_is_told_when_it_is_ready_and_as_long_as_it_hears(
    tmp_path: Path, model_path: Path, wav: Path
) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(10)
        begun = time.monotonic()
        done = run(str(wav), "--model", str(model_path), NOTIFY_SOCKET=str(address), WATCHDOG_USEC="4000")
        assert done.returncode == 0
        told = [listener.recv(100) for _ in range(3)]
    assert told[:2] == [b"READY=1", b"WATCHDOG=1"] and told[2] in (b"WATCHDOG=1", b"STOPPING=1")
    assert time.monotonic() - begun < 60


def test_windows_that_were_lost_do_not_feed_the_watchdog(tmp_path: Path, model_path: Path) -> None:
    address, nothing = tmp_path / "notify", np.full(128_000, np.nan, "<f4")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(10)
        done = run("-", "--format", "f32", "--json", "--model", str(model_path), stdin=nothing.tobytes(),
                   NOTIFY_SOCKET=str(address), WATCHDOG_USEC="4000")  # fmt: skip
        told = [listener.recv(100) for _ in range(2)]
    assert {line["state"] for line in lines(done.stdout)} == {"gap"}
    assert told == [b"READY=1", b"STOPPING=1"]
