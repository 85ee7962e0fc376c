"""PortAudio for real, without a sound card: PulseAudio's null sink plays, its monitor is the microphone.

Each test runs a PulseAudio of its own; it skips where PulseAudio, its ALSA plugin or PortAudio are
missing (Debian: pulseaudio pulseaudio-utils libasound2-plugins libportaudio2).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

HOP_S = 0.25


class SoundServer:
    """A PulseAudio server with one null sink."""

    def __init__(self, folder: Path) -> None:
        for tool in ("pulseaudio", "pactl", "paplay"):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed")
        run = folder / "run"
        run.mkdir(mode=0o700)
        own = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(run)}
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("PULSE_")} | own
        self._server = subprocess.Popen(
            ["pulseaudio", "-n", "--exit-idle-time=-1", "--disallow-exit", "--daemonize=no",
             "-L", "module-native-protocol-unix"],
            env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(lambda: self.control("info").returncode == 0, "PulseAudio to start")
        self.plug()

    def control(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["pactl", *arguments], env=self.env, capture_output=True, text=True, timeout=10)

    def plug(self) -> None:
        loaded = self.control(
            "load-module",
            "module-null-sink",
            "sink_name=speaker",
            "rate=32000",
            "format=float32le",
            "channels=1",
        )
        self._sink = loaded.stdout.strip()
        assert self.control("set-default-source", "speaker.monitor").returncode == 0

    def unplug(self) -> None:
        assert self.control("unload-module", self._sink).returncode == 0

    def play(self, path: Path) -> None:
        subprocess.run(["paplay", "--device=speaker", str(path)], env=self.env, check=True, timeout=60)

    def close(self) -> None:
        self._server.terminate()
        self._server.wait(10)


class ListenProcess:
    """``listen --json`` on the server's microphone, whose lines are read as they come."""

    def __init__(self, server: SoundServer, model_path: Path, folder: Path, *options: str) -> None:
        self._out = folder / "results.jsonl"
        with self._out.open("w") as out, (folder / "errors").open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "runtime", "listen", "--json", "--hop", str(HOP_S),
                 "--model", str(model_path), *options],
                env=server.env, stdout=out, stderr=errors,
            )  # fmt: skip
        wait_for(lambda: self.windows() or self._process.poll(), "the first window")
        if self._process.poll():
            pytest.skip(f"PortAudio finds no microphone here: {(folder / 'errors').read_text().strip()}")

    def lines(self) -> list[dict[str, Any]]:
        whole = self._out.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def windows(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if "state" in line]

    def devices(self) -> list[str]:
        return [line["event"] for line in self.lines() if str(line.get("event")).startswith("device")]

    def events(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line.get("event") in ("onset", "offset")]

    def close(self) -> int:
        self._process.terminate()
        return self._process.wait(20)


def wait_for(what: Callable[[], Any], name: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"waited {seconds} s for {name}"
        time.sleep(0.05)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SoundServer]:
    server = SoundServer(tmp_path)
    yield server
    server.close()


@pytest.fixture
def process(server: SoundServer, model_path: Path, tmp_path: Path) -> Iterator[ListenProcess]:
    process = ListenProcess(server, model_path, tmp_path)
    yield process
    process.close()


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Hum, dog and rain of the tiny model: noise in its lowest, middle and highest bands, with pauses."""
    still, white = np.zeros(48_000), np.random.default_rng(5).normal(size=64_000)
    spectrum, hz = np.fft.rfft(white), np.fft.rfftfreq(64_000, 1 / 32_000)
    parts = [still]
    for low, high in ((50, 700), (1100, 2600), (9000, 15_000)):
        band = np.fft.irfft(spectrum * ((hz > low) & (hz < high)))
        parts += [0.1 * band / band.std(), still]
    path = tmp_path / "scene.wav"
    soundfile.write(path, np.concatenate(parts), 32_000, subtype="FLOAT")
    return path


@pytest.fixture
def noise_wav(tmp_path: Path, noise: np.ndarray) -> Path:
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise[:64_000], 32_000, subtype="FLOAT")
    return path


def states(process: ListenProcess) -> list[str]:
    return [window["state"] for window in process.windows()]


def of_file(model_path: Path, scene: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "runtime", "classify", str(scene), "--json", "--events", "--hop", str(HOP_S),
         "--model", str(model_path)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return [line for line in map(json.loads, done.stdout.splitlines()) if "event" in line]


def test_the_microphone_gets_the_events_of_classify(
    server: SoundServer, process: ListenProcess, scene: Path, model_path: Path
) -> None:
    expected = of_file(model_path, scene)
    assert [e["label"] for e in expected] == ["hum", "hum", "dog", "dog", "rain", "rain"]
    server.play(scene)
    wait_for(lambda: len(process.events()) >= len(expected), "the events")
    live = process.events()
    assert [(e["event"], e["label"]) for e in live] == [(e["event"], e["label"]) for e in expected]
    times = [[e["end_s"] or e["start_s"] for e in events] for events in (live, expected)]
    shifts = [live_s - file_s for live_s, file_s in zip(*times, strict=True)]
    assert max(shifts) - min(shifts) <= HOP_S + 1e-6
    assert process.close() == 130 and not process.devices()
    assert all(window["dropped"] == 0 and window["late_s"] < 1.0 for window in process.windows())


def record(server: SoundServer, label: str, played: Path, sounds: Path) -> None:
    """Fill a class folder with two takes of what is played."""
    recording = subprocess.Popen(
        [sys.executable, "-m", "runtime", "record", label, "--into", str(sounds),
         "--seconds", "0.5", "--count", "2", "--pause", "0"],
        env=server.env, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert recording.stderr is not None and recording.stderr.readline().startswith("recording ")
    server.play(played)
    assert recording.wait(20) == 0
    assert "2 of 2 takes" in recording.stderr.read()
    recording.stderr.close()


@pytest.mark.slow
@pytest.mark.usefixtures("process")  # which skips where PortAudio finds no microphone
def test_two_classes_are_recorded_from_what_is_played(
    server: SoundServer, noise_wav: Path, scene: Path, tmp_path: Path
) -> None:
    sounds = tmp_path / "sounds"
    for label, played in (("noise", noise_wav), ("bands", scene)):
        record(server, label, played, sounds)
        takes = [soundfile.read(path) for path in (sounds / label).iterdir()]
        assert [len(samples) for samples, _ in takes] == [rate // 2 for _, rate in takes]
        assert len(takes) == 2 and max(abs(samples).max() for samples, _ in takes) > 0.05


@pytest.mark.slow
def test_what_listening_captures_is_sorted_into_the_classes_that_were_recorded(
    server: SoundServer, model_path: Path, noise_wav: Path, scene: Path, tmp_path: Path
) -> None:
    """The way round that `learn` goes on from: record, listen, sort."""
    sounds, captures = tmp_path / "sounds", tmp_path / "captures"
    process = ListenProcess(server, model_path, tmp_path, "--capture", str(captures))
    try:
        record(server, "noise", noise_wav, sounds)
        before = len(process.events())
        server.play(scene)
        wait_for(lambda: len(process.events()) >= before + 6, "the events")
        wait_for(lambda: list(captures.glob("dog_*-event-*.wav")), "the capture of an event")
    finally:
        assert process.close() == 130
    stored = sorted(path.name for path in captures.iterdir())
    (dog,) = [name for name in stored if name.startswith("dog_") and "-event-" in name]
    samples, rate = soundfile.read(captures / dog)
    assert len(samples) == 2 * rate and abs(samples).max() > 0.05
    spectrum = np.abs(np.fft.rfft(samples))
    hz = np.fft.rfftfreq(len(samples), 1 / rate)
    assert 1100 < hz[spectrum.argmax()] < 2600
    others = [name for name in stored if name != dog]
    subprocess.run(
        [sys.executable, "-m", "runtime", "sort", str(captures), str(sounds), "--as", "dog", dog,
         "--not-a-class", *others],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert not list(captures.iterdir())
    found = {path.name: len(list(path.iterdir())) for path in sounds.iterdir()}
    assert found == {"noise": 2, "dog": 1, "not_a_class": len(others)}


def test_a_microphone_that_vanishes_and_returns_is_classified_again(
    server: SoundServer, process: ListenProcess, noise_wav: Path
) -> None:
    server.unplug()
    wait_for(lambda: process.devices() == ["device_lost"], "the loss")
    server.plug()
    wait_for(lambda: process.devices() == ["device_lost", "device_back"], "the return")
    wait_for(lambda: "gap" in states(process), "the gap")
    wait_for(lambda: states(process)[-1] == "no_signal", "the end of the gap")
    server.play(noise_wav)
    wait_for(lambda: states(process).count("ok") > 4, "sound after the return")
    ends = [window["end_s"] for window in process.windows()]
    assert ends == sorted(ends)
