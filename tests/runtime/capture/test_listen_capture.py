"""``listen --capture``: what is stored, what is not disturbed, and what happens where there is no room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.capture import capture_folder
from runtime.capture.capture_folder import Capture, CaptureFolder
from runtime.capture.capture_name import CaptureName, file_label, session_of
from runtime.capture.capturing_source import CapturingSource
from runtime.classifier import Model
from runtime.cli.main import main
from runtime.devices import microphone
from runtime.devices.microphone import Microphone
from runtime.devices.source import Chunk
from runtime.errors import ConfigError
from runtime.live.live_loop import Listener, LiveResult
from runtime.live.takes import checked_label
from runtime.streaming.events import EventRules
from tests.runtime.capture.conftest import RATE, band
from tests.runtime.fakes import FakeAudio, white


def names(folder: Path) -> list[CaptureName]:
    """Of all files in it; a file with another name fails the test."""
    found = [CaptureName.parse(path.name) for path in sorted(folder.iterdir())]
    assert None not in found, list(folder.iterdir())
    return [name for name in found if name is not None]


def place(capture: np.ndarray, sound: np.ndarray) -> int:
    """Where a capture begins in the sound that it was cut from, to the sample."""
    windows = np.lib.stride_tricks.sliding_window_view(sound, 64)
    (starts,) = np.nonzero((windows == capture[:64]).all(axis=1))
    for start in starts:
        if np.array_equal(sound[start : start + len(capture)], capture):
            return int(start)
    raise AssertionError("the capture is no part of the sound")


def listen(scene: Path, model_path: Path, *more: str) -> None:
    assert main(["listen", str(scene), "--hop", "0.25", "--model", str(model_path), *more]) == 0


def test_two_seconds_around_every_event_are_stored_as_they_sounded(
    scene: Path, model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "captures"
    listen(scene, model_path, "--events", "--capture", str(folder))
    with_captures = capsys.readouterr()
    listen(scene, model_path, "--events")
    assert capsys.readouterr().out == with_captures.out
    assert f"stored around events and close misses in {folder}" in with_captures.err
    found = {name.label: name for name in names(folder) if name.kind == "event"}
    assert list(found) == ["dog", "hum", "rain"]
    sound = soundfile.read(scene, dtype="int16")[0]
    for label, begin_s in (("hum", 1.5), ("dog", 5.0), ("rain", 8.5)):
        capture, rate = soundfile.read(folder / str(found[label]), dtype="int16")
        assert rate == RATE and len(capture) == 2 * RATE
        start_s = place(capture, sound) / RATE
        assert begin_s - 1.5 < start_s < begin_s + 1  # at least half of it is the event
    info = soundfile.info(folder / str(found["dog"]))
    assert (info.format, info.subtype, info.channels) == ("WAV", "PCM_16", 1)


@pytest.mark.parametrize(("rate", "channel"), [(8_000, None), (44_100, 1), (96_000, 0)])
def test_the_sound_is_stored_at_the_rate_of_the_device(
    rate: int, channel: int | None, model_path: Path, tmp_path: Path
) -> None:
    """Of 8 kHz a file's block is longer than the whole history."""
    hum = np.concatenate([1e-4 * band(50, 3000, 12, rate), band(50, 700, 3, rate), np.zeros(12 * rate)])
    sound = hum if channel is None else np.stack([hum, 0.5 * hum], axis=1)
    path, folder = tmp_path / "a.wav", tmp_path / "captures"
    soundfile.write(path, sound, rate, subtype="PCM_16")
    options = [] if channel is None else ["--channel", str(channel)]
    listen(path, model_path, "--capture", str(folder), *options)
    (name,) = [name for name in names(folder) if name.kind == "event"]
    capture, found_rate = soundfile.read(folder / str(name), dtype="int16")
    assert (name.label, found_rate, len(capture)) == ("hum", rate, 2 * rate)
    stored = soundfile.read(path, dtype="int16", always_2d=True)[0][:, channel or 0]
    assert 10.5 < place(capture, stored) / rate < 14.5


def test_a_close_miss_is_stored_with_its_score(
    scene: Path, model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soft = "--temperature=6"  # scores far from 1, so that a threshold above them can be named
    listen(scene, model_path, "--json", soft)
    windows = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if "state" in line]
    peak = max(window["smoothed"]["scores"].get("dog", 0.0) for window in windows)
    folder = tmp_path / "captures"
    thresholds = [f"--threshold={value}" for value in ("1.0", f"dog={peak / 0.95}")]
    listen(scene, model_path, "--capture", str(folder), soft, *thresholds)
    (dog,) = [name for name in names(folder) if name.label == "dog"]
    assert dog.kind == "miss" and dog.score == round(peak, 2)
    capture = soundfile.read(folder / str(dog), dtype="int16")[0]
    assert 4.0 < place(capture, soundfile.read(scene, dtype="int16")[0]) / RATE < 6.0


def test_captures_of_one_hour_are_one_session_as_takes_are(tmp_path: Path) -> None:
    start = time.mktime((2026, 11, 26, 23, 17, 42, 0, 0, -1))
    sessions = [session_of(start, start + seconds) for seconds in (0, 2537, 2538, 6200)]
    assert sessions == ["20261126T231742", "20261126T231742", "20261127T000000", "20261127T010000"]
    name = CaptureName("baby cry", "20261126T231742", "235959", "event", 0.5, 2)
    assert str(name).rpartition("_")[0] == "baby cry_20261126T231742"
    assert CaptureName.parse(str(name)) == name
    assert CaptureName.parse("dog_20261126T231742_003.wav") is None  # a take


@pytest.mark.parametrize(
    "label", ["a/b", "..", "x" * 300, "what?\n", " ", "Chirp, tweet", "\u72ac" * 84, "CON"]
)
def test_any_label_can_be_the_name_of_a_file(label: str, tmp_path: Path) -> None:
    assert checked_label(file_label(label)) == file_label(label)
    captures = CaptureFolder(tmp_path, 1e6)
    name = CaptureName(file_label(label), "20261126T230000", "231742", "event", 0.93)
    captures.put(Capture(name, np.zeros(10, np.int16), 8000))
    captures.close()
    assert names(tmp_path) == [name]


def put_many(folder: Path, limit_bytes: float, count: int, first: int = 0) -> None:
    captures = CaptureFolder(folder, limit_bytes)
    for number in range(first, first + count):
        name = CaptureName("dog", "20261126T230000", f"{number:06d}", "event", 0.9)
        captures.put(Capture(name, np.full(1000, number, np.int16), 8000), wait=True)
    captures.close()


def test_the_oldest_give_way_and_it_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "captures"
    folder.mkdir()
    mine = folder / "a song of mine.wav"
    mine.write_bytes(bytes(9000))
    half_written = folder / ".dog_20261126T220000_220000-miss-0.41-abcdefgh.partial.wav"
    half_written.write_bytes(bytes(500))
    put_many(folder, 3 * 2044, 2)
    assert half_written.exists() and capsys.readouterr().err == ""
    put_many(folder, 3 * 2044, 8, first=2)
    mine.unlink()  # it is still there, and the half-written one is not
    assert [name.time for name in names(folder)] == ["000007", "000008", "000009"]
    assert capsys.readouterr().err.count("the oldest are removed") == 1


def test_names_that_are_taken_get_a_number(tmp_path: Path) -> None:
    put_many(tmp_path, 1e6, 1), put_many(tmp_path, 1e6, 1), put_many(tmp_path, 1e6, 1)
    assert sorted(name.number for name in names(tmp_path)) == [1, 2, 3]


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_limit_without_room_is_one_sentence(limit: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="allow more"):
        CaptureFolder(tmp_path, limit)


def test_a_capture_above_the_limit_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_many(tmp_path, 100, 3)
    assert capsys.readouterr().err.count("more than the limit") == 1 and not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, scene: Path, model_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="name another folder"):
        listen(scene, model_path, "--capture", str(tmp_path / "file"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of a process are POSIX")
def test_a_disk_that_takes_no_more_is_one_warning_and_listening_goes_on(
    scene: Path, model_path: Path, tmp_path: Path
) -> None:
    """RLIMIT_FSIZE stands in for a full disk: both fail in write(2)."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from runtime.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    folder = tmp_path / "captures"
    arguments = ["listen", str(scene), "--events", "--model", str(model_path), "--capture", str(folder)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 6
    assert done.stderr.count("warning") == 1 and "File too large" in done.stderr
    assert not list(folder.iterdir())


def test_a_disk_that_hangs_does_not_stop_the_audio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(capture_folder, "write_wav", lambda *_: hangs.wait(30))
    captures = CaptureFolder(tmp_path, 1e6)
    begun = time.monotonic()
    for number in range(100):
        name = CaptureName("dog", "20261126T230000", f"{number:06d}", "event", 0.9)
        captures.put(Capture(name, np.zeros(10, np.int16), 8000))
    assert time.monotonic() - begun < 5
    hangs.set()
    captures.close()
    assert capsys.readouterr().err.count("written too slowly") == 1


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    captures = CaptureFolder(tmp_path / "captures", 1e6)
    (tmp_path / "captures").rmdir()
    captures.put(
        Capture(CaptureName("a", "20261126T230000", "231742", "miss", 0.4), np.zeros(9, np.int16), 8000)
    )
    captures.close()
    assert len(names(tmp_path / "captures")) == 1


def test_a_microphone_is_captured_before_and_after_it_was_gone(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No capture holds a gap, and each holds the samples of one stretch of time."""
    audio = FakeAudio(white)
    monkeypatch.setattr(microphone, "portaudio", lambda: audio)
    audio.plan = [(6.0, lambda: audio.plugged.clear()), (11.0, lambda: audio.plugged.append("USB mic"))]
    likely = model.classify(white(0, RATE), RATE).label
    rules = EventRules(enter=1.0, enter_of={str(likely): 0.3}, cooldown_s=0.0)
    captures = CaptureFolder(tmp_path, 1e7)
    device = Microphone(None, RATE, clock=audio.clock)
    source = CapturingSource(device, captures, rules, 1.0, clock=lambda: 1e9 + audio.now)
    listener = Listener(model, [source], hop_s=0.25, rules=rules, clock=audio.clock, sleep=audio.sleep)
    changes = []
    for item in listener:
        if not isinstance(item, LiveResult):
            changes.append(getattr(item, "event", "ended"))
        source.handle(item)
        if audio.now > 18.0:
            break
    source.close()
    captures.close()
    assert changes[:2] == ["device_lost", "device_back"]
    (first,) = names(tmp_path)  # the event goes on after the gap
    capture = soundfile.read(tmp_path / str(first), dtype="int16")[0]
    sound = np.round(white(0, 6 * RATE) * 32768).astype(np.int16)
    assert len(capture) == 2 * RATE and place(capture, sound) < RATE
    middle_s = 1e9 + place(capture, sound) / RATE + 1
    clocks = [time.strftime("%H%M%S", time.localtime(middle_s + off_s)) for off_s in (-0.5, 0, 0.5)]
    assert first.time in clocks


class Chunks:
    """A source of the given chunks, at 1000 Hz."""

    name, sample_rate = "chunks", 1000

    def __init__(self, *chunks: Chunk) -> None:
        self._chunks = list(chunks)

    def poll(self) -> Chunk:
        if not self._chunks:
            raise EOFError
        return self._chunks.pop(0)

    def close(self) -> None:
        pass


def result(rules: EventRules, end_s: float, dog: float) -> LiveResult:
    from runtime.model.prediction import classified
    from runtime.streaming.events import EventDetector

    smoothed, events = EventDetector(rules).push(classified({"dog": dog}, end_s - 1, end_s))
    return LiveResult("chunks", smoothed, smoothed, tuple(events), -20.0, 0.0, 0.0)


def test_what_is_captured_does_not_depend_on_how_much_arrives_at_once(
    scene: Path, model: Model, tmp_path: Path
) -> None:
    samples = soundfile.read(scene, dtype="float32", always_2d=True)[0]
    rules = EventRules(enter=0.9, enter_of={"clock": 0.05})
    found = []
    for size in (1600, 50_000, len(samples)):
        folder = tmp_path / str(size)
        captures = CaptureFolder(folder, 1e8)
        chunks = Chunks(*(Chunk(samples[at : at + size], 0.0) for at in range(0, len(samples), size)))
        chunks.sample_rate = RATE
        source = CapturingSource(chunks, captures, rules, 1.0, live=False, clock=lambda: 1e9)
        for item in Listener(model, [source], hop_s=0.25, rules=rules):
            source.handle(item)
        captures.close()
        found.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert found[0] == found[1] == found[2] and len(found[0]) >= 3


def test_a_capture_ends_at_a_gap(tmp_path: Path) -> None:
    """Its sound would go on after lost samples: it is as long, and all from before."""
    rules = EventRules(smoothing_s=0, min_duration_s=0)
    count = np.arange(4000, dtype=np.float32)[:, None] / 32768
    captures = CaptureFolder(tmp_path, 1e6)
    source = CapturingSource(
        Chunks(Chunk(count[:3000], 0.0), Chunk(count[3000:], 0.0, 0.2)), captures, rules, 1.0
    )
    source.poll()
    source.handle(result(rules, 3.0, 0.9))  # in the middle of 2 to 3 s
    source.poll()
    source.handle(result(rules, 4.2, 0.1))
    source.close()
    captures.close()
    (name,) = names(tmp_path)
    assert soundfile.read(tmp_path / str(name), dtype="int16")[0].tolist() == list(range(1000, 3000))


def test_an_event_takes_the_place_of_a_close_miss_of_the_same_sound(tmp_path: Path) -> None:
    rules = EventRules(smoothing_s=0, min_duration_s=0, enter_of={"dog": 0.5})
    captures = CaptureFolder(tmp_path, 1e6)
    chunks = [Chunk(np.full((1000, 1), 0.1, np.float32), 0.0) for _ in range(6)]
    source = CapturingSource(Chunks(*chunks), captures, rules, 1.0)
    for _ in range(3):
        source.poll()
    source.handle(result(rules, 3.0, 0.45))
    source.handle(result(rules, 3.1, 0.1))  # the close miss is complete, and its sound is not
    source.handle(result(rules, 3.2, 0.9))
    source.close()
    captures.close()
    assert [name.kind for name in names(tmp_path)] == ["event"]
