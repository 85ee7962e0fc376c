"""The WebSocket of a browser: the predictions of `classify`, and limits that protect the others."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from runtime.classifier import Model
from runtime.server.sources import BrowserSource
from runtime.server.web.outbox import Outbox
from tests.runtime.server.conftest import Serve, Server
from tests.runtime.server.hostile import BINARY, PING, START, TEXT, RawSocket, say
from tests.runtime.server.load import due, stream, streams

CALM_MB = 30.0  # that memory may grow by


async def talk(url: str, rate: int, messages: list[str | bytes]) -> list[dict[str, Any]]:
    """Everything that the server says to a stream that stops in an orderly way."""
    async with connect(f"{url}/ws/microphone", compression=None) as socket:
        await socket.send(json.dumps({"type": "start", "sample_rate": rate}))
        for message in messages:
            parts = [message] if isinstance(message, str) else _parts(message)
            for part in parts:
                await socket.send(part)
        await socket.send('{"type":"stop"}')
        said = [json.loads(message) async for message in socket]
        assert socket.close_code == 1000
        return said


def _parts(data: bytes, size: int = 2**16) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def to_bytes(waveform: np.ndarray) -> bytes:
    return np.round(waveform * 32768).astype("<i2").tobytes()


def windows(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in said if message["type"] == "window"]


def test_a_browser_gets_the_predictions_of_classify(server: Server, model: Model, noise: np.ndarray) -> None:
    pcm = to_bytes(noise)
    said = asyncio.run(talk(server.socket_url, 32_000, [*_parts(pcm, 3200)]))
    assert said[0]["type"] == "started" and said[0]["labels"] == list(model.labels)
    assert said[-1]["type"] == "ended"
    expected = model.windows(np.frombuffer(pcm, np.int16), 32_000, hop_s=0.25)
    fields = [(w["scores"], w["label"], w["start_s"], w["end_s"], w["state"]) for w in windows(said)]
    assert fields == [(p.scores, p.label, p.start_s, p.end_s, p.state) for p in expected]


def test_samples_that_waited_have_the_time_of_their_own_arrival() -> None:
    now = 1.0
    source = BrowserSource("browser 1", 1000, clock=lambda: now)
    source.put(bytes(1000))  # half a second, which one poll takes
    now = 2.0
    source.put(bytes(1000))
    now = 3.0
    source.lose(0.5)
    source.put(bytes(10))
    chunks = [source.poll() for _ in range(3)]
    assert [(chunk.captured_at, chunk.lost_s) for chunk in chunks if chunk] == [
        (1, None),
        (2, None),
        (3, 0.5),
    ]


def test_another_rate_is_resampled(server: Server, model: Model, noise: np.ndarray) -> None:
    pcm = np.round(noise * 32768).astype("<i2")
    said = asyncio.run(talk(server.socket_url, 44_100, [pcm.tobytes()]))
    expected = model.windows(pcm, 44_100, hop_s=0.25)
    assert [w["scores"] for w in windows(said)] == [p.scores for p in expected]


def test_onsets_and_offsets_are_told(server: Server, noise: np.ndarray) -> None:
    said = asyncio.run(talk(server.socket_url, 32_000, [to_bytes(noise)]))
    events = [message for message in said if message["type"] == "event"]
    assert {event["event"] for event in events} == {"onset", "offset"}
    assert all(("id" in event) is False and event["utc"] for event in events)


def test_the_picture_has_the_new_columns_of_every_window(server: Server, noise: np.ndarray) -> None:
    said = asyncio.run(talk(server.socket_url, 32_000, [to_bytes(noise)]))
    bands = said[0]["spectrum"]["bands"]
    sizes = {len(w["spectrum"]) * 3 // 4 // bands for w in windows(said)[:-1]}
    assert sizes == {16}  # a quarter of a second at 64 columns a second


def test_lost_samples_are_a_gap(server: Server, noise: np.ndarray) -> None:
    lost = '{"type":"lost","seconds":0.5}'
    said = asyncio.run(
        talk(server.socket_url, 32_000, [to_bytes(noise[:40_000]), lost, to_bytes(noise[:64_000])])
    )
    assert "gap" in {w["state"] for w in windows(said)}
    assert windows(said)[-1]["dropped"] == pytest.approx(0.5)


def test_silence_has_no_signal_and_no_picture(server: Server) -> None:
    (window,) = windows(asyncio.run(talk(server.socket_url, 32_000, [bytes(64_000)])))
    assert (window["state"], window["spectrum"], window["level_dbfs"]) == ("no_signal", None, None)


@pytest.mark.parametrize(
    "messages",
    [
        ["hello"],
        ["[1]"],
        ["[" * 50_000],
        ['{"type":"start"}'],
        ['{"type":"start","sample_rate":"48000"}'],
        ['{"type":"start","sample_rate":true}'],
        ['{"type":"start","sample_rate":1}'],
        ['{"type":"start","sample_rate":48000,"model":"../../etc/passwd"}'],
        ['{"type":"start","sample_rate":48000,"model":["a"]}'],
        [bytes(100)],
        [START, bytes(101)],
        [START, "hello"],
        [START, '{"type":"lost","seconds":1e999}'],
        [START, '{"type":"lost","seconds":-1}'],
        [START, START],
    ],
    ids=lambda messages: str(messages[-1])[:40],
)
def test_what_breaks_the_protocol_is_closed_with_a_sentence(server: Server, messages: list[Any]) -> None:
    code, reason = asyncio.run(say(server.socket_url, *messages))
    assert code == 1007 and len(reason) > 10


def test_bytes_that_are_not_text_and_frames_that_are_not_frames(server: Server) -> None:
    for opcode, data in ((TEXT, b"\xff\xfe"), (0x3, b"reserved"), (PING, bytes(200))):
        raw = RawSocket(server.port)
        raw.send(opcode, data)
        while raw.socket.recv(4096):
            pass
        raw.close()


def test_a_frame_of_64_mb_is_refused_before_it_is_read(server: Server) -> None:
    before = server.memory_mb()
    raw = RawSocket(server.port)
    raw.send(TEXT, START.encode())
    assert raw.send_until_cut_off((BINARY, bytes(64 * 2**20), True), 2**27, 60) == 0
    raw.close()
    assert server.memory_mb() < before + CALM_MB


def test_samples_faster_than_real_time_are_cut_off(server: Server) -> None:
    second = bytes(96_000)
    code, reason = asyncio.run(say(server.socket_url, START, *[second] * 40))
    assert (code, reason) in ((1008, "samples come faster than real time"), (1006, ""))


def test_too_many_messages_are_cut_off(server: Server) -> None:
    code, reason = asyncio.run(say(server.socket_url, START, *[b"\0\0"] * 2000))
    assert (code, reason) in ((1008, "too many messages a second"), (1006, ""))


def test_pings_whose_answers_nobody_reads_are_cut_off(server: Server) -> None:
    before = server.memory_mb()
    raw = RawSocket(server.port)
    raw.send_until_cut_off((PING, bytes(125), True), 2**27, 60)
    raw.close()
    assert server.memory_mb() < before + CALM_MB


def test_a_message_of_endless_empty_fragments_is_cut_off(server: Server) -> None:
    raw = RawSocket(server.port)
    raw.send(BINARY, b"", fin=False)
    raw.send_until_cut_off((0x0, b"", False), 2**24, 60)
    raw.close()


def test_a_browser_that_vanishes_leaves_nothing_behind(server: Server) -> None:
    for _ in range(5):
        raw = RawSocket(server.port)
        raw.send(TEXT, START.encode())
        raw.send(BINARY, bytes(9600))
        raw.close()
    end = time.monotonic() + 20
    while "tinyscene_clients 0" not in (text := server.request("/metrics")[2].decode()):
        assert time.monotonic() < end, text
        time.sleep(0.1)


def test_the_own_input_is_refused_where_there_is_none(server: Server) -> None:
    async def look() -> int:
        try:
            async with connect(f"{server.socket_url}/ws/live"):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    assert asyncio.run(look()) == 404


def test_more_clients_than_allowed_are_refused(serve: Serve, model_path: Any) -> None:
    server = serve("--source", "browser", "--model", model_path, "--clients", "2")
    first, second = RawSocket(server.port), RawSocket(server.port)
    status, _, body = server.request(
        "/ws/microphone", upgrade="websocket", connection="upgrade", sec_websocket_version="13",
        sec_websocket_key="AAAAAAAAAAAAAAAAAAAAAA==",
    )  # fmt: skip
    assert (status, body) == (503, b"too many connections: try again later\n")
    first.close()
    second.close()


def test_hostile_clients_cost_the_others_nothing(server: Server) -> None:
    """A few browsers in real time beside one that floods, one that reads nothing, one that sends rubbish."""

    async def rubbish(until: float) -> None:
        while time.monotonic() < until:
            await say(server.socket_url, "hello")
            await say(server.socket_url, START, *[bytes(96_000)] * 40)
            await asyncio.sleep(0.5)

    async def all_at_once() -> list[Any]:
        deaf = RawSocket(server.port)
        deaf.send(TEXT, START.encode())
        hostile = asyncio.create_task(rubbish(time.monotonic() + 4))
        found = await streams(server.socket_url, 3, 3.0)
        await hostile
        deaf.close()
        return found

    asyncio.run(stream(server.socket_url, 1.5))  # everything is loaded
    before = server.memory_mb()
    for client in asyncio.run(all_at_once()):
        assert client.states == {"ok"} and client.ends == due(client.sent_s)
    assert server.memory_mb() < before + CALM_MB


def test_of_a_full_outbox_the_oldest_windows_go_first() -> None:
    async def fill() -> tuple[list[str | None], int]:
        outbox = Outbox(limit=3)
        for number in range(5):
            outbox.put(f"window {number}", is_window=True)
            outbox.put(f"event {number}")
        outbox.end()
        return [await outbox.get() for _ in range(4)], outbox.skipped

    taken, skipped = asyncio.run(fill())
    assert taken == ["event 2", "event 3", "event 4", None] and skipped == 7
