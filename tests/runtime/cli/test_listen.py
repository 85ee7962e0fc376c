"""``listen`` as a process: pipes, files, many inputs, and a quiet end."""

from __future__ import annotations

import json
import os
import pty
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
from runtime.devices.standard_input import PcmOptions, open_stdin
from runtime.errors import ConfigError
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


def test_a_log_of_json_lines_holds_nothing_else(wav: Path, model_path: Path) -> None:
    command = [sys.executable, "-m", "runtime", "listen", str(wav), "--model", str(model_path)]
    merged = subprocess.run(
        [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )
    assert merged.returncode == 0 and len(lines(merged.stdout)) >= 13
    text = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert text.stdout.startswith(b"listening to ")


NOISY_LIBRARY = """
import ctypes, os
os.write(1, b"driver at import\\n")
class PortAudioError(Exception):
    pass
def query_devices():
    os.write(1, b"driver while it lists\\n")
    ctypes.CDLL(None).printf(b"driver through the buffer of C\\n")
    return [{"name": "USB mic", "max_input_channels": 1, "default_samplerate": 48000.0}]
class default:
    device = [0, 0]
"""


@pytest.mark.skipif(sys.platform == "win32", reason="its printf is of another library")
@pytest.mark.parametrize("merged", [False, True])
def test_what_a_library_prints_on_stdout_is_not_between_lines_of_json(tmp_path: Path, merged: bool) -> None:
    (tmp_path / "sounddevice.py").write_text(NOISY_LIBRARY)
    done = subprocess.run(
        [sys.executable, "-m", "runtime", "devices", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT if merged else subprocess.PIPE, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line["name"] for line in lines(done.stdout)] == ["USB mic"]
    if not merged:
        assert done.stderr.count(b"driver") >= 2 and b"buffer of C" in done.stderr


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
    windows = [line for line in lines(capsys.readouterr().out) if "state" in line]
    assert {line["source"] for line in windows} == {str(wav), str(other)}


@pytest.mark.parametrize("option", [["--raw"], ["--rate", "8000"], ["--channels", "2"], ["--format", "f32"]])
def test_options_of_stdin_are_refused_for_a_file(wav: Path, model_path: Path, option: list[str]) -> None:
    with pytest.raises(ConfigError, match=f"{option[0]} describes samples on stdin"):
        main(["listen", str(wav), *option, "--model", str(model_path)])
    with pytest.raises(ConfigError, match=f"{option[0]} describes samples on stdin"):
        main(["record", "dog", "--source", str(wav), "--into", str(wav.parent), *option])
    assert not (wav.parent / "dog").exists()


def test_options_of_stdin_are_taken_with_a_file_beside_it(wav: Path, model_path: Path) -> None:
    done = run(str(wav), "--input", "-", "--rate", "16000", "--model", str(model_path), stdin=bytes(64_000))
    assert done.returncode == 0 and b"listening to - (16000 -> 32000 Hz)" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["missing.wav"], ["./missing"], ["-", "--rate", "7"], ["-", "--rate", "0"], ["-", "--channels", "0"],
     ["-", "--input", "-"],
     ["-", "--record", "recorded", "--record-limit", "nan"]],
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


def test_a_terminal_as_stdin_is_refused() -> None:
    ours, theirs = pty.openpty()
    with pytest.raises(ConfigError, match="Nothing is piped"):
        open_stdin(theirs, PcmOptions(), 32_000)
    os.close(ours), os.close(theirs)


def test_a_closed_stdin_and_a_view_of_no_label_are_refused(
    wav: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # as Python leaves it after `<&-`
    for arguments, sentence in ((["-"], "stdin is closed"), ([str(wav), "--top", "0"], "from 1 up")):
        with pytest.raises(ConfigError, match=sentence):
            main(["listen", *arguments, "--model", str(model_path)])


def test_systemd_is_notified_of_readiness_and_of_every_classified_window(
    tmp_path: Path, model_path: Path, wav: Path
) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(10)
        begun = time.monotonic()
        done = run(str(wav), "--model", str(model_path), NOTIFY_SOCKET=str(address), WATCHDOG_USEC="4000")
        assert done.returncode == 0
        received = [listener.recv(100) for _ in range(3)]
    assert received[:2] == [b"READY=1", b"WATCHDOG=1"] and received[2] in (b"WATCHDOG=1", b"STOPPING=1")
    assert time.monotonic() - begun < 60


def test_lost_windows_send_no_keep_alive(tmp_path: Path, model_path: Path) -> None:
    address, nothing = tmp_path / "notify", np.full(128_000, np.nan, "<f4")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(10)
        done = run("-", "--format", "f32", "--json", "--model", str(model_path), stdin=nothing.tobytes(),
                   NOTIFY_SOCKET=str(address), WATCHDOG_USEC="4000")  # fmt: skip
        received = [listener.recv(100) for _ in range(2)]
    assert {line["state"] for line in lines(done.stdout)} == {"gap"}
    assert received == [b"READY=1", b"STOPPING=1"]
