"""The HTTP interface on a server that plays a file: events, their sound, models, files, metrics."""

from __future__ import annotations

import asyncio
import csv
import http.client
import io
import json
import re
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import connect

from runtime.classifier import Model
from runtime.errors import AudioError
from runtime.server.engine import Engine
from runtime.server.models import Models
from runtime.server.web.uploads import classify_bytes
from runtime.streaming.events import EventDetector, EventRules
from tests.runtime.server.conftest import Server, start

RATE = 32_000


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds: high noise, silence, low noise; two events at least."""
    rng, path = np.random.default_rng(5), tmp_path_factory.mktemp("scene") / "scene.wav"
    white = rng.normal(scale=0.1, size=2 * RATE)
    low = np.convolve(white, np.ones(200) / 200, "same") * 8
    soundfile.write(path, np.concatenate([white, np.zeros(2 * RATE), low]), RATE, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def folder(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, and what is none."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(model_path, folder / "first.onnx")
    shutil.copy(model_path, folder / "second.onnx")
    (folder / "broken.onnx").write_bytes(b"not a model")
    return folder


@pytest.fixture(scope="module")
def playing(scene: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose own input has played to its end."""
    here = tmp_path_factory.mktemp("playing")
    server = start(
        "--source", scene, "--model", folder, "--log", here / "log.sqlite", "--record", here / "recordings"
    )
    end = time.monotonic() + 60
    while not server.json("/api/state")["input"]["ended"]:
        assert time.monotonic() < end
        time.sleep(0.2)
    yield server
    server.stop()
    assert not [line for line in server.lines if "Traceback" in line], server.lines


def expected_events(model: Model, scene: Path) -> list[tuple[str, float, float]]:
    detector, found = EventDetector(EventRules.of(model.spec)), []
    for window in model.windows(soundfile.read(scene, dtype="int16")[0], RATE, hop_s=0.25):
        found += detector.push(window)[1]
    found += detector.flush()
    return [(e.label, e.end_s - e.start_s, e.probability) for e in found if e.end_s is not None]


def test_the_log_has_the_events_of_classify(playing: Server, model: Model, scene: Path) -> None:
    events = playing.json("/api/events")["events"]
    expected = expected_events(model, scene)
    assert len(expected) >= 2
    assert sorted(e["label"] for e in events) == sorted(label for label, _, _ in expected)
    assert {e["source"] for e in events} == {"scene.wav"} and {e["model"] for e in events} == {"first"}
    assert not any(e["ongoing"] for e in events)
    assert [e["id"] for e in events] == sorted((e["id"] for e in events), reverse=True)
    assert playing.json("/api/events?limit=1")["events"] == events[:1]
    assert playing.json(f"/api/events?before={events[0]['id']}")["events"] == events[1:]


def test_downloads_have_all_events(playing: Server) -> None:
    events = playing.json("/api/events")["events"]
    assert playing.json("/api/events/download.json") == events
    status, headers, body = playing.request("/api/events/download.csv")
    assert status == 200 and "attachment" in headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    assert [(row["id"], row["label"]) for row in rows] == [(str(e["id"]), e["label"]) for e in events]


def test_the_sound_of_an_event_is_what_was_played_then(playing: Server, scene: Path) -> None:
    event = playing.json("/api/events")["events"][-1]  # the first
    status, headers, body = playing.request(f"/api/events/{event['id']}/sound.wav")
    assert (status, headers["content-type"]) == (200, "audio/wav")
    sound, rate = soundfile.read(io.BytesIO(body), dtype="int16")
    whole = soundfile.read(scene, dtype="int16")[0]
    assert rate == RATE and len(sound) > RATE
    assert np.array_equal(sound, whole[: len(sound)])  # it begins at 0 s, and the margin cannot go before
    assert playing.request("/api/events/999999/sound.wav")[0] == 404


def test_the_day_has_the_events_of_the_log(playing: Server) -> None:
    events = playing.json("/api/events")["events"]
    days = {time.strftime("%Y-%m-%d", time.localtime(time.time() - ago)) for ago in (0, 600)}
    counts = [playing.json(f"/api/day?date={day}")["counts"] for day in sorted(days)]
    assert sum(sum(hours) for count in counts for hours in count.values()) == len(events)
    for wrong in ("", "today", "2026-13-01", "1e9", "2026-01-01/..", "99999-01-01", "0001-01-01"):
        assert playing.request(f"/api/day?date={wrong}")[0] in (200, 400)


def test_without_a_model_file_the_installed_library_may_run(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`load_model` looks for the compiled form of the packaged model where it gets no path."""
    loaded: list[Path | None] = []
    monkeypatch.setattr("runtime.server.models.load_model", lambda path, _: loaded.append(path))
    for given in (None, model_path, model_path.parent):
        models = Models.find(given)
        models.load(models.names[0])
    assert loaded == [None, model_path, model_path]


def test_models_and_their_cards(playing: Server, model: Model, model_path: Path) -> None:
    assert playing.json("/api/models") == {"models": ["first", "second"], "input": "first"}
    assert any("broken.onnx" in line for line in playing.lines)
    card = playing.json("/api/model?name=second")
    assert card["labels"] == list(model.labels) and card["quantization"] == {"scheme": "float32"}
    assert card["file_bytes"] == model_path.stat().st_size and card["self_test"]["vectors"] == 2
    assert card["self_test"]["largest_difference"] < 1e-3
    assert playing.json("/api/model")["name"] == "first"
    assert playing.request("/api/model?name=broken")[0] == 404


@pytest.mark.parametrize(("kind", "subtype"), [("wav", "PCM_16"), ("flac", "PCM_16"), ("ogg", "VORBIS")])
def test_a_file_gets_the_label_of_classify(
    playing: Server, model: Model, scene: Path, kind: str, subtype: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{kind}"
    samples = soundfile.read(scene)[0]
    soundfile.write(path, np.stack([samples, samples], axis=1), RATE, subtype=subtype)
    result = playing.json("/api/classify?model=second", method="POST", body=path.read_bytes())
    clip = model.classify(soundfile.read(path, dtype="float32")[0], RATE)
    assert (result["clip"]["label"], result["clip"]["scores"]) == (clip.label, clip.scores)
    assert (result["channels"], result["sample_rate"]) == (2, RATE)
    assert [run["state"] for run in result["runs"]].count("no_signal") >= 1
    assert result["runs"][-1]["end_s"] == pytest.approx(6.0)


def test_what_is_wrong_with_a_file_stands_in_the_answer(
    model: Model, scene: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    engine, path = Engine(model, 0.25, EventRules.of(model.spec), print, print), tmp_path / "a.wav"
    assert classify_bytes(engine, scene.read_bytes(), limit_s=60)["notes"] == []
    samples = soundfile.read(scene)[0]
    soundfile.write(path, np.stack([samples, -samples], axis=1), RATE)
    result = classify_bytes(engine, path.read_bytes()[:-RATE], limit_s=60)
    engine.stop()
    assert result["clip"]["state"] == "no_signal" and not recwarn
    channels, length = sorted(result["notes"])
    assert "channels cancel each other" in channels and "ends 0.2 s before" in length


def test_what_is_not_audio_is_one_sentence(playing: Server, tmp_path: Path) -> None:
    for data in (b"", b"hello", bytes(10_000), b"RIFF" + bytes(100)):
        status, _, body = playing.request("/api/classify", "POST", data)
        assert status == 422 and json.loads(body)["error"].startswith("The file ")


def test_a_form_is_told_to_send_the_file_alone(playing: Server) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--x--\r\n'
    status, _, body = playing.request("/api/classify", "POST", form)
    assert status == 422 and "curl --data-binary @FILE" in json.loads(body)["error"]


def test_a_small_file_of_hours_is_refused_while_it_is_decoded(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "silence.flac"
    soundfile.write(path, np.zeros(8000 * 600, np.int16), 8000)
    assert path.stat().st_size < 20_000
    engine = Engine(model, 0.25, EventRules.of(model.spec), print, print)
    with pytest.raises(AudioError, match="longer than 5 minutes"):
        classify_bytes(engine, path.read_bytes(), limit_s=300)
    assert classify_bytes(engine, path.read_bytes(), limit_s=600)["clip"]["state"] == "no_signal"
    engine.stop()


def test_a_body_that_is_too_large_is_refused(playing: Server) -> None:
    before = playing.memory_mb()
    try:
        status = playing.request("/api/classify", "POST", bytes(33 * 2**20))[0]
    except (ConnectionError, BrokenPipeError):  # it answers before the body is read, and closes
        status = 413
    assert status == 413
    assert playing.request("/login", "POST", bytes(10_000))[0] == 413
    assert playing.request("/api/model", "POST", bytes(10_000))[0] == 413
    assert playing.memory_mb() < before + 60


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"name": 1}', b'{"name": "../x"}', b"\xff", b"[" * 3000]
)
def test_a_model_that_is_not_there_cannot_be_chosen(playing: Server, body: bytes) -> None:
    assert playing.request("/api/model", "POST", body)[0] in (400, 404)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=-1", "limit=1e2", "before=x", "limit=", "limit=%D9%A3"]
)
def test_numbers_out_of_range_are_refused(playing: Server, query: str) -> None:
    assert playing.request(f"/api/events?{query}")[0] == 400


def test_other_methods_are_refused(playing: Server) -> None:
    for method in ("PUT", "DELETE", "TRACE", "OPTIONS"):
        assert playing.request("/api/events", method)[0] == 405


def test_metrics_are_in_the_format_of_prometheus(playing: Server) -> None:
    status, headers, body = playing.request("/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4")
    sample = re.compile(
        r'tinyscene_[a-z_]+(\{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")*\})? (-?\d+(\.\d+)?(e-?\d+)?|[+-]Inf)'
    )
    lines = body.decode().splitlines()
    assert all(sample.fullmatch(line) for line in lines if not line.startswith("# "))
    names = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {"tinyscene_windows_total", "tinyscene_events_total", "tinyscene_lag_seconds"} <= names
    assert 'tinyscene_lag_seconds_bucket{le="+Inf"} ' in body.decode()


def test_the_model_of_the_own_input_is_switched_while_it_plays(
    scene: Path, folder: Path, tmp_path: Path
) -> None:
    server = start("--source", scene, "--model", folder, "--record", tmp_path / "recordings")

    async def watch() -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = []
        async with connect(f"{server.socket_url}/ws/live", compression=None) as socket:
            async for text in socket:
                said.append(json.loads(text))
                if len([m for m in said if m["type"] == "window"]) == 4:
                    switch = ("/api/model", "POST", b'{"name": "second"}')
                    assert (await asyncio.to_thread(server.request, *switch))[0] == 202
                if said[-1]["type"] == "ended":
                    return said
        return said

    try:
        said = asyncio.run(watch())
        kinds = [message["type"] for message in said]
        assert "switched" in kinds and kinds.index("window") < kinds.index("switched")
        assert server.json("/api/models")["input"] == "second"
        last = server.json("/api/events")["events"][0]
        assert last["model"] == "second"
        sound = soundfile.read(
            io.BytesIO(server.request(f"/api/events/{last['id']}/sound.wav")[2]), dtype="int16"
        )[0]
        whole = soundfile.read(scene, dtype="int16")[0]
        assert np.array_equal(sound, whole[-len(sound) :])  # recordings and events have one time
    finally:
        server.stop()


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(model_path: Path, with_signal: int) -> None:
    server = start("--source", "browser", "--model", model_path)
    assert server.stop(with_signal) == 130
    assert not [line for line in server.lines if "Traceback" in line or "Error" in line], server.lines


def test_it_speaks_tls(model_path: Path, tmp_path: Path, run_room: Any) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext"
    subprocess.run(
        [*make.split(), "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key],
        check=True, capture_output=True,
    )  # fmt: skip
    options = ("--source", "browser", "--model", model_path, "--token", "a-long-token")
    server = start(*options, "--certificate", certificate, "--key", key)
    try:
        trusted = ssl.create_default_context(cafile=str(certificate))
        https = http.client.HTTPSConnection("127.0.0.1", server.port, context=trusted, timeout=30)
        https.request("POST", "/login", "token=a-long-token", {"Host": f"127.0.0.1:{server.port}"})
        response = https.getresponse()
        assert response.status == 303 and "Secure" in str(response.getheader("set-cookie"))
        https.close()
    finally:
        server.stop()
    done = run_room("runtime", "serve", "--source", "browser", "--port", 0, "--certificate", model_path)
    assert done.returncode == 2 and "error: The certificate cannot be used" in done.stderr


def test_nothing_is_written_where_nothing_was_asked_for(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    for name in ("HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    server = start("--source", "browser", "--model", model_path)
    server.request("/api/classify", "POST", bytes(1000))
    server.json("/api/events")
    assert server.stop() == 130
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_one_sentence(playing: Server, run_room: Any) -> None:
    done = run_room("runtime", "serve", "--source", "browser", "--port", playing.port)
    assert done.returncode == 2 and "give another --port" in done.stderr and "Traceback" not in done.stderr


def test_a_missing_extra_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_room: Any
) -> None:
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError('no', name='starlette')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")
    done = run_room("runtime", "serve", "--source", "browser")
    assert done.returncode == 2 and "tinyscene[serve]" in done.stderr


def test_other_commands_import_nothing_of_the_server(run_room: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    for command in ("classify", "listen", "serve"):
        imported = run_room("runtime", command, "--help").stderr
        assert not re.search(
            r"\| +(starlette|uvicorn|asyncio|sqlite3|aiomqtt|numpy|runtime\.server)", imported
        )
