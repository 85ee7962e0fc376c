"""``record``, ``learn``, ``listen``: two classes from a microphone, to events of the microphone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.runtime.devices.test_real_microphone import ListenProcess, SoundServer, wait_for

RATE, TAKES = 32_000, 8
PITCHES_HZ = {"bell": 1_500, "dog": 300}


def sound(pitch_hz: float, seconds: float) -> np.ndarray:
    """Beeps of a pitch that wanders, so that no two takes are the same."""
    time = np.arange(round(seconds * RATE)) / RATE
    wandering = 2 * np.pi * pitch_hz * (time + 0.02 * np.sin(0.7 * time))
    beeps = 0.6 + 0.4 * np.sin(2 * np.pi * 3.3 * time)
    noise = np.random.default_rng(int(pitch_hz)).standard_normal(len(time))
    return 0.2 * beeps * np.sin(wandering) + 0.01 * noise


@pytest.fixture
def server(tmp_path):
    server = SoundServer(tmp_path)
    yield server
    server.close()


def record(server: SoundServer, label: str, into: Path, folder: Path) -> None:
    """Play a class, and record it with the command."""
    played = folder / f"{label}.wav"
    soundfile.write(played, sound(PITCHES_HZ[label], 3 * TAKES + 10), RATE, subtype="FLOAT")
    player = subprocess.Popen(["paplay", "--device=speaker", str(played)], env=server.env)
    try:
        command = [sys.executable, "-m", "runtime", "record", label, "--into", str(into)]
        command += ["--count", str(TAKES), "--pause", "0.2"]
        done = subprocess.run(
            command, env=server.env, capture_output=True, text=True, timeout=120, check=False
        )
    finally:
        player.terminate()
        player.wait(10)
    if "microphone" in done.stderr and not (into / label).is_dir():
        pytest.skip(f"PortAudio finds no microphone here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


def played(server: SoundServer, process: ListenProcess, path: Path) -> tuple[Counter[str], set[str]]:
    """The labels of the windows while a file is played, and the classes of which an event began."""
    windows, events = len(process.windows()), len(process.events())
    server.play(path)
    wait_for(lambda: len(process.windows()) >= windows + 20, "the windows")
    onsets = {event["label"] for event in process.events()[events:] if event["event"] == "onset"}
    return Counter(str(window["label"]) for window in process.windows()[windows:]), onsets


@pytest.mark.slow
def test_what_was_recorded_is_learned_and_recognised(server, tmp_path):
    sounds, model = tmp_path / "sounds", tmp_path / "my.onnx"
    for label in PITCHES_HZ:
        record(server, label, sounds, tmp_path)
        assert len(list((sounds / label).glob("*.wav"))) == TAKES
    command = [sys.executable, "-m", "train", "learn", str(sounds), "-o", str(model), "--budget", "tiny"]
    done = subprocess.run([*command, "--steps", "600"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "another day" in done.stderr  # all takes of a class are of one session
    process = ListenProcess(server, model, tmp_path)
    try:
        for label, pitch_hz in PITCHES_HZ.items():
            soundfile.write(tmp_path / "new.wav", sound(pitch_hz, 6), RATE, subtype="FLOAT")
            labels, onsets = played(server, process, tmp_path / "new.wav")
            assert labels.most_common(1)[0][0] == label and onsets == {label}, (label, labels, onsets)
            time.sleep(3)  # the event ends
    finally:
        process.close()
