"""The WebSockets of the page: ``/ws/live`` shows the server's own input, ``/ws/microphone`` a browser's."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from runtime.errors import TinysceneError
from runtime.live.json_fields import event_ago_s
from runtime.live.live_loop import Ended, Item, LiveResult
from runtime.server.engine import Engine
from runtime.server.limits import AddressAllowances, Allowance
from runtime.server.own_input import OwnInput
from runtime.server.service import Service
from runtime.server.sources import BrowserSource
from runtime.server.web.messages import change_message, dump, event_message, spectrum_fields, window_message
from runtime.server.web.outbox import Outbox

_START_S = 10.0  # until the first message
_CLOSE_S = 1.0  # for the last message to a client that may read nothing
_MAX_LOST_S = 60.0  # in one message
_INVALID, _POLICY = 1007, 1008  # close codes (RFC 6455, section 7.4.1)


class ProtocolError(Exception):
    """A client broke the protocol or a limit; it is told the code and the reason, and cut off."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True)
class Start:
    """The first message of a browser.

    Attributes:
        sample_rate: of its samples, Hz.
        model: name of the model to use.
    """

    sample_rate: int
    model: str

    @classmethod
    def parse(cls, message: dict[str, Any], models: list[str]) -> Start:
        """Read the message, a WebSocket message of ASGI.

        Raises:
            ProtocolError: where it is anything but a valid start.
        """
        fields = _parse(message)
        rate, model = fields.get("sample_rate"), fields.get("model", models[0])
        if fields.get("type") != "start" or not isinstance(rate, int) or isinstance(rate, bool):
            raise ProtocolError(_INVALID, 'send {"type":"start","sample_rate":48000} first')
        if model not in models:
            raise ProtocolError(_INVALID, "there is no such model: see /api/models")
        return cls(rate, model)


class Sockets:
    """Handles the WebSockets of a service.

    Args:
        service: classifies what browsers send.
        own_input: of the box; None where it has none.

    Example:
        >>> from runtime.server.log.event_log import EventLog
        >>> from runtime.server.limits import Limits
        >>> from runtime.server.models import Models
        >>> from runtime.streaming.events import EventRules
        >>> service = Service(Models.find(model_path), 0.25, EventRules.of, EventLog(None), Limits())
        >>> sockets = Sockets(service, own_input=None)
    """

    def __init__(self, service: Service, own_input: OwnInput | None) -> None:
        self._service, self._own_input = service, own_input
        self._open = 0
        self._count = itertools.count(1)
        self._addresses = AddressAllowances(service.limits.connections_per_s, 100.0)

    async def live(self, websocket: WebSocket) -> None:
        """Show the server's own input."""
        own = self._own_input
        if own is None:
            await _deny(websocket, 404, "this machine has no input of its own")
            return
        async with self._admitted(websocket, "live") as admitted:
            if not admitted:
                return
            outbox = Outbox(self._service.limits.unread)
            outbox.put(self._started(own.engine, **own.started_fields()))
            if own.ended:
                outbox.put(dump({"type": "ended"}))
            own.readers.add(outbox)
            try:
                await self._talk(websocket, outbox, _refuse_messages(websocket))
            finally:
                own.readers.discard(outbox)

    async def microphone(self, websocket: WebSocket) -> None:
        """Classify what a browser sends."""
        async with self._admitted(websocket, "microphone") as admitted:
            if not admitted:
                return
            try:
                start = await self._start(websocket)
                engine = await asyncio.to_thread(self._service.engine, start.model)
                source = BrowserSource(f"browser {next(self._count)}", start.sample_rate)
                outbox = Outbox(self._service.limits.unread)
                outbox.put(self._started(engine, source=source.name, model=start.model, recorded=False))
                handler = _BrowserHandler(engine, outbox)
                self._service.subscribe(source, start.model, engine, handler)
            except TinysceneError as error:
                await self._close(websocket, ProtocolError(_INVALID, str(error)))
                return
            except ProtocolError as error:
                await self._close(websocket, error)
                return
            try:
                await self._talk(websocket, outbox, self._receive(websocket, source))
            finally:
                source.end()
                self._service.unsubscribe(source)

    @asynccontextmanager
    async def _admitted(self, websocket: WebSocket, kind: str) -> AsyncIterator[bool]:
        """Accept a WebSocket where there is room, and count it while it is open."""
        address = websocket.client.host if websocket.client else ""
        full = self._open >= self._service.limits.clients
        if full or not self._addresses.spend(address):
            self._service.metrics.add("refused_total", reason="clients" if full else "connections")
            await _deny(websocket, 503, "too many connections: try again later")
            yield False
            return
        self._open += 1
        self._service.metrics.set("clients", self._open)
        try:
            await websocket.accept()
            yield True
        except WebSocketDisconnect:
            pass
        finally:
            self._open -= 1
            self._service.metrics.set("clients", self._open)

    async def _start(self, websocket: WebSocket) -> Start:
        try:
            message = await asyncio.wait_for(websocket.receive(), _START_S)
        except asyncio.TimeoutError:
            raise ProtocolError(_POLICY, "no start message came") from None
        return Start.parse(dict(message), self._service.models.names)

    def _started(self, engine: Engine, **fields: Any) -> str:
        spec = engine.model.spec
        return dump({
            "type": "started", **fields, "labels": list(spec.labels), "task": spec.task,
            "clip_s": spec.clip_s, "hop_s": engine.hop_s, "spectrum": spectrum_fields(spec.frontend),
        })  # fmt: skip

    async def _talk(self, websocket: WebSocket, outbox: Outbox, receiving: Any) -> None:
        """Send and receive until one side ends; a client that broke a rule is cut off."""
        sender = asyncio.create_task(self._send_all(websocket, outbox))
        receiver = asyncio.create_task(receiving)
        try:
            await asyncio.wait({sender, receiver}, return_when=asyncio.FIRST_COMPLETED)
            if receiver.done() and receiver.exception() is None:
                await sender  # what is left, after a stop
            for task in (receiver, sender):
                if task.done() and task.exception() is not None:
                    raise task.exception()  # type: ignore[misc]
            await websocket.close()
        except ProtocolError as error:
            await self._close(websocket, error)
        except (WebSocketDisconnect, RuntimeError):  # the client is gone
            pass
        finally:
            self._service.metrics.add("skipped_total", outbox.skipped)
            for task in (sender, receiver):
                task.cancel()
            await asyncio.gather(sender, receiver, return_exceptions=True)

    async def _send_all(self, websocket: WebSocket, outbox: Outbox) -> None:
        while (message := await outbox.get()) is not None:
            try:
                await asyncio.wait_for(websocket.send_text(message), self._service.limits.stalled_s)
            except asyncio.TimeoutError:
                raise ProtocolError(_POLICY, "nothing was read for too long") from None

    async def _receive(self, websocket: WebSocket, source: BrowserSource) -> None:
        """Put what a browser sends into its source, until it says stop."""
        limits = self._service.limits
        messages = Allowance(limits.messages_per_s, 2 * limits.messages_per_s)
        real_time = Allowance(1.05, limits.ahead_s)  # seconds of audio; sound cards' clocks differ
        ahead_s = 0.0
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))
            if not messages.spend(1.0):
                raise ProtocolError(_POLICY, "too many messages a second")
            samples = message.get("bytes")
            if samples is None:
                if _control(message, source):
                    return
                continue
            if len(samples) % 2:
                raise ProtocolError(_INVALID, "a message holds whole samples of 16 bits")
            seconds = len(samples) / 2 / source.sample_rate
            if real_time.spend(seconds):
                source.put(samples)
                continue
            source.lose(seconds)
            ahead_s += seconds
            if ahead_s > limits.flood_s:
                raise ProtocolError(_POLICY, "samples come faster than real time")

    async def _close(self, websocket: WebSocket, error: ProtocolError) -> None:
        self._service.metrics.add("refused_total", reason="protocol" if error.code == _INVALID else "limit")
        with suppress(RuntimeError, WebSocketDisconnect, asyncio.TimeoutError):
            await asyncio.wait_for(websocket.close(error.code, error.reason[:120]), _CLOSE_S)


@dataclass(frozen=True)
class _BrowserHandler:
    """Turns the results for a browser's stream into its messages."""

    engine: Engine
    outbox: Outbox

    def __call__(self, item: Item) -> None:
        if isinstance(item, LiveResult):
            self.outbox.put(window_message(item, self.engine), is_window=True)
            for event in item.events:
                self.outbox.put(event_message(event, event_ago_s(item, event)))
        elif isinstance(item, Ended):
            for event in item.events:
                self.outbox.put(event_message(event, 0.0))
            self.outbox.put(dump({"type": "ended"}))
            self.outbox.end()
        else:
            self.outbox.put(change_message(item))


async def _deny(websocket: WebSocket, status: int, text: str) -> None:
    await websocket.send_denial_response(PlainTextResponse(f"{text}\n", status))


async def _refuse_messages(websocket: WebSocket) -> None:
    """Wait for the end of a WebSocket that only shows something."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    raise ProtocolError(_POLICY, "this connection takes no messages")


def _control(message: Any, source: BrowserSource) -> bool:
    """Act on a text message; whether it was ``stop``."""
    fields = _parse(message)
    if fields.get("type") == "stop":
        source.end()
        return True
    seconds = fields.get("seconds")
    if fields.get("type") != "lost" or not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise ProtocolError(_INVALID, "a text message is start, lost or stop")
    if not (math.isfinite(seconds) and 0 < seconds <= _MAX_LOST_S):
        raise ProtocolError(_INVALID, "seconds lie above 0 and up to 60")
    source.lose(float(seconds))
    return False


def _parse(message: Any) -> dict[str, Any]:
    """The JSON object of a text message."""
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    try:
        fields = json.loads(message.get("text") or "")
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise ProtocolError(_INVALID, "a text message is one JSON object")
    return fields
