"""Captures of a server's own input: made while it plays, listed, played and sorted over HTTP."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.runtime.capture.conftest import RATE, band
from tests.runtime.server.conftest import Server, start


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of one dog, and two models, which are the same."""
    here = tmp_path_factory.mktemp("captures")
    quiet = 1e-5 * np.random.default_rng(1).normal(size=RATE)
    soundfile.write(here / "scene.wav", np.concatenate([quiet, band(1100, 2600), quiet, quiet]), RATE)
    return here


@pytest.fixture(scope="module")
def server(here: Path, model_path: Path) -> Iterator[Server]:
    running = start(
        "--source", here / "scene.wav", "--model", model_path, "--capture", here / "captures",
        "--sounds", here / "sounds", "--record", here / "recordings",
    )  # fmt: skip
    end = time.monotonic() + 60
    while not (running.json("/api/state")["input"]["ended"] and running.json("/api/captures")["captures"]):
        assert time.monotonic() < end
        time.sleep(0.2)
    yield running
    assert running.stop() == 130
    assert not [line for line in running.lines if "Traceback" in line], running.lines


def post(server: Server, fields: Any) -> tuple[int, Any]:
    status, _, body = server.request("/api/captures", "POST", json.dumps(fields).encode())
    return status, json.loads(body)


def add(here: Path, name: str) -> str:
    soundfile.write(here / "captures" / name, np.full(800, 0.1), 8000)
    return name


def test_an_event_of_the_own_input_is_captured(server: Server, here: Path) -> None:
    assert server.json("/api/state")["captured"] is True
    assert any("stored around events and close misses" in line for line in server.lines)
    answer = server.json("/api/captures")
    (dog,) = [found for found in answer["captures"] if (found["label"], found["kind"]) == ("dog", "event")]
    assert 0.5 < dog["score"] <= 1
    assert {"hum", "dog", "clock", "rain"} <= set(answer["classes"])
    status, headers, wav = server.request(f"/api/captures/sound.wav?name={dog['name']}")
    assert status == 200 and headers["content-type"] == "audio/wav"
    samples, rate = soundfile.read(io.BytesIO(wav))
    assert len(samples) == 2 * rate == 2 * RATE and np.abs(samples).max() > 0.1
    (recording,) = (here / "recordings").iterdir()
    assert soundfile.info(recording).frames == 5 * RATE  # the recording has what it has without captures


def test_captures_are_sorted(server: Server, here: Path) -> None:
    first, second, third = (
        add(here, f"dog_20261126T230000_23170{place}-miss-0.45.wav") for place in (1, 2, 3)
    )
    assert post(server, {"name": first, "label": "rain"}) == (200, {"moved": first, "label": "rain"})
    assert post(server, {"name": second, "label": "not_a_class"})[0] == 200
    assert post(server, {"name": third, "delete": True}) == (200, {"deleted": third})
    moved = {path.relative_to(here / "sounds").as_posix() for path in (here / "sounds").rglob("*.wav")}
    assert moved == {
        "rain/rain_20261126T230000_231701.wav",
        "not_a_class/not_a_class_20261126T230000_231702.wav",
    }
    assert post(server, {"name": third, "label": "rain"})[0] == 404


def test_what_cannot_be_deleted_is_one_sentence(server: Server, here: Path) -> None:
    name = "dog_20261126T230000_231705-miss-0.45.wav"
    (here / "captures" / name).mkdir()
    status, answer = post(server, {"name": name, "delete": True})
    assert status == 422 and "Cannot delete" in answer["error"]


@pytest.mark.parametrize(
    "fields",
    [{}, [], None, {"name": 1}, {"name": "../scene.wav", "label": "dog"}, {"name": "x"}, {"label": "dog"}],
)  # fmt: skip
def test_what_names_no_capture_is_refused(fields: Any, server: Server, here: Path) -> None:
    status, answer = post(server, fields)
    assert status in (400, 404) and answer["error"] and (here / "scene.wav").exists()


@pytest.mark.parametrize("label", ["..", "a/b", "elephant", "", None, 7, ["dog"]])
def test_only_classes_that_there_are_can_be_chosen(label: Any, server: Server, here: Path) -> None:
    name = add(here, "dog_20261126T230000_231704-miss-0.45.wav")
    assert post(server, {"name": name, "label": label})[0] == 400
    assert (here / "captures" / name).exists()


@pytest.mark.parametrize("name", ["", "../scene.wav", "%2e%2e%2fscene.wav", "scene.wav", "%00"])
def test_no_other_file_is_played(name: str, server: Server) -> None:
    assert server.request(f"/api/captures/sound.wav?name={name}")[0] == 404


def test_a_body_that_is_too_large_or_no_json_is_refused(server: Server) -> None:
    assert server.request("/api/captures", "POST", bytes(5000))[0] == 413
    for body in (b"", b"\xff", b"[" * 3000):
        assert server.request("/api/captures", "POST", body)[0] == 400
    foreign = {"origin": "http://evil.example"}
    assert server.request("/api/captures", "POST", b"{}", **foreign)[0] == 403


def test_names_that_are_no_times_are_left_out(server: Server, here: Path) -> None:
    name = add(here, "dog_99999999T999999_999999-miss-0.45.wav")
    assert name not in [capture["name"] for capture in server.json("/api/captures")["captures"]]


def test_without_captures_there_are_none(serve: Any, model_path: Path, run_room: Any, tmp_path: Path) -> None:
    running = serve("--source", "browser", "--model", model_path)
    assert running.request("/api/captures")[0] == 404
    assert running.json("/api/state")["captured"] is False
    done = run_room("runtime", "serve", "--source", "browser", "--capture", tmp_path / "captures")
    assert done.returncode == 2 and "--capture stores the server's own input" in done.stderr


def test_captures_go_on_with_another_model(model_path: Path, tmp_path: Path, serve: Any) -> None:
    """Its times begin at zero, and the sound is that of its events."""
    models = tmp_path / "models"
    models.mkdir()
    for name in ("first.onnx", "second.onnx"):
        (models / name).write_bytes(model_path.read_bytes())
    quiet = 1e-5 * np.random.default_rng(1).normal(size=4 * RATE)
    scene = [quiet, band(1100, 2600), quiet, band(9000, 15_000), quiet]
    soundfile.write(tmp_path / "scene.wav", np.concatenate(scene), RATE)
    server = serve("--source", tmp_path / "scene.wav", "--model", models, "--capture", tmp_path / "captures")
    end = time.monotonic() + 60
    captures = tmp_path / "captures"
    while not list(captures.glob("dog_*-event-*")):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert server.request("/api/model", "POST", b'{"name": "second"}')[0] == 202
    while not list(captures.glob("rain_*-event-*")):
        assert time.monotonic() < end
        time.sleep(0.1)
    (rain,) = captures.glob("rain_*-event-*")
    samples, rate = soundfile.read(rain)
    hz = np.fft.rfftfreq(len(samples), 1 / rate)
    assert len(samples) == 2 * rate and 9000 < hz[np.abs(np.fft.rfft(samples)).argmax()] < 15_000
