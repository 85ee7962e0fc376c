"""The HTTP interface: the page's files and its JSON, as `runtime/server/README.md` documents it."""

from __future__ import annotations

import asyncio
import csv
import dataclasses
import io
import json
from collections.abc import AsyncIterator, Iterator
from datetime import date, datetime, timezone
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from runtime.errors import TinysceneError
from runtime.server.log.event_log import LoggedEvent
from runtime.server.log.sound import MARGIN_S, wav_of
from runtime.server.own_input import OwnInput
from runtime.server.service import Service
from runtime.server.web.bodies import read_body
from runtime.server.web.guard import COOKIE, Access
from runtime.server.web.uploads import classify_bytes

_TYPES = {
    "html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml",
}  # fmt: skip
_MAX_FORM_BYTES = 4096
_UPLOAD_WAIT_S = 120.0
_MAX_EVENTS = 1000  # in one answer of JSON; a download has all
_YEAR_S = 365 * 86400


class Api:
    """Answers HTTP requests.

    Args:
        service: what the page shows.
        own_input: of the box; None where it has none.
        access: who may use it.

    Example:
        >>> sorted(load_static())[:3]
        ['captures.js', 'card.js', 'day.js']
    """

    def __init__(self, service: Service, own_input: OwnInput | None, access: Access) -> None:
        self._service, self._own_input, self._access = service, own_input, access
        self._static = load_static()
        self._uploads = asyncio.Semaphore(service.limits.uploads)

    def routes(self) -> list[BaseRoute]:
        """Paths and what answers them."""
        return [
            Route("/", self._page),
            Route("/login", self._login_page),
            Route("/login", self._login, methods=["POST"]),
            Route("/static/{name}", self._static_file),
            Route("/metrics", self._metrics),
            Route("/api/state", self._state),
            Route("/api/models", self._models),
            Route("/api/model", self._card),
            Route("/api/model", self._use_model, methods=["POST"]),
            Route("/api/events", self._events),
            Route("/api/events/download.csv", self._download_csv),
            Route("/api/events/download.json", self._download_json),
            Route("/api/events/{number:int}/sound.wav", self._sound),
            Route("/api/day", self._day),
            Route("/api/classify", self._classify, methods=["POST"]),
        ]

    async def _page(self, request: Request) -> Response:
        return self._file("index.html")

    async def _login_page(self, request: Request) -> Response:
        return self._file("login.html")

    async def _static_file(self, request: Request) -> Response:
        return self._file(request.path_params["name"])

    def _file(self, name: str) -> Response:
        """A file of the page by its name in a table: no path is made of it."""
        if name not in self._static:
            raise HTTPException(404)
        return Response(self._static[name], media_type=_TYPES[name.rpartition(".")[2]])

    async def _login(self, request: Request) -> Response:
        form = parse_qs((await read_body(request, _MAX_FORM_BYTES)).decode("utf-8", "replace"))
        if not self._access.is_token(form.get("token", [""])[0]):
            self._service.metrics.add("refused_total", reason="token")
            return Response(self._static["login-failed.html"], 401, media_type=_TYPES["html"])
        response = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        response.set_cookie(
            COOKIE, self._access.cookie(), max_age=_YEAR_S, httponly=True, samesite="strict", secure=secure
        )
        return response

    async def _metrics(self, request: Request) -> Response:
        return PlainTextResponse(self._service.metrics.text(), media_type="text/plain; version=0.0.4")

    async def _state(self, request: Request) -> Response:
        own = self._own_input
        fields = None if own is None else {**own.started_fields(), "ended": own.ended}
        limits = self._service.limits
        return JSONResponse({
            "input": fields,
            "captured": own is not None and own.captures is not None,
            "log": "memory" if self._service.log.path is None else "file",
            "upload_bytes": limits.upload_bytes,
            "upload_s": limits.upload_s,
        })  # fmt: skip

    async def _models(self, request: Request) -> Response:
        own = self._own_input
        return JSONResponse({"models": self._service.models.names, "input": own.model if own else None})

    async def _card(self, request: Request) -> Response:
        name = self._model_name(request.query_params.get("name"))
        try:
            return JSONResponse(await asyncio.to_thread(self._service.models.card, name))
        except (TinysceneError, OSError) as error:
            raise HTTPException(422, str(error)) from error

    async def _use_model(self, request: Request) -> Response:
        """Go on with another model; JSON only, which a form of another site cannot send."""
        if self._own_input is None:
            raise HTTPException(404, "this machine has no input of its own")
        try:
            fields = json.loads(await read_body(request, _MAX_FORM_BYTES))
            name = self._model_name(fields["name"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise HTTPException(400, 'send {"name": "..."} with a name from /api/models') from error
        try:
            await self._own_input.use_model(name)
        except TinysceneError as error:
            raise HTTPException(422, str(error)) from error
        return JSONResponse({"input": name}, 202)

    def _model_name(self, name: str | None) -> str:
        names = self._service.models.names
        if name is None:
            return self._own_input.model if self._own_input else names[0]
        if name not in names:
            raise HTTPException(404, "there is no such model: see /api/models")
        return name

    async def _events(self, request: Request) -> Response:
        query = request.query_params
        limit = _integer(query.get("limit", "100"), 1, _MAX_EVENTS)
        before = _integer(query.get("before", str(2**53)), 0, 2**53)
        found = await asyncio.to_thread(lambda: list(self._service.log.events(before=before, limit=limit)))
        return JSONResponse({"events": [self._event_fields(event) for event in found]})

    def _event_fields(self, event: LoggedEvent) -> dict[str, Any]:
        """An event for the page, its times as ISO 8601."""
        fields = dataclasses.asdict(event)
        del fields["session"], fields["start_s"], fields["end_s"]
        fields |= {"start_utc": _iso(event.start_utc), "end_utc": _iso(event.end_utc)}
        return {
            **fields,
            "ongoing": bool(event.ongoing),
            "sound": self._own_input is not None and self._own_input.folder is not None,
        }

    async def _download_csv(self, request: Request) -> Response:
        return self._download(self._csv_lines(), "text/csv; charset=utf-8", "events.csv")

    async def _download_json(self, request: Request) -> Response:
        return self._download(self._json_lines(), "application/json", "events.json")

    def _download(self, lines: Iterator[str], kind: str, name: str) -> Response:
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(_in_threads(lines), media_type=kind, headers=headers)

    def _csv_lines(self) -> Iterator[str]:
        names = ["id", "start_utc", "end_utc", "label", "probability", "ongoing", "source", "model"]
        yield ",".join(names) + "\n"
        for event in self._service.log.events():
            fields, line = self._event_fields(event), io.StringIO()
            csv.writer(line, lineterminator="\n").writerow([fields[name] for name in names])
            yield line.getvalue()

    def _json_lines(self) -> Iterator[str]:
        before = "[\n"
        for event in self._service.log.events():
            yield before + json.dumps(self._event_fields(event))
            before = ",\n"
        yield "\n]\n" if before != "[\n" else "[]\n"

    async def _sound(self, request: Request) -> Response:
        folder = self._own_input.folder if self._own_input else None
        number = request.path_params["number"]
        if folder is None or number >= 2**53:
            raise HTTPException(404, "nothing is recorded")
        wav = await asyncio.to_thread(self._cut_sound, number)
        if wav is None:
            raise HTTPException(404, "there is no recording of this event")
        return Response(wav, media_type="audio/wav")

    def _cut_sound(self, number: int) -> bytes | None:
        event = self._service.log.event(number)
        folder = self._own_input.folder if self._own_input else None
        if event is None or folder is None:
            return None
        return wav_of(folder, self._service.log.recordings(event, MARGIN_S))

    async def _day(self, request: Request) -> Response:
        try:
            day = date.fromisoformat(request.query_params.get("date", ""))
            counts = await asyncio.to_thread(self._service.log.day, day)
        except (ValueError, OverflowError, OSError) as error:
            raise HTTPException(400, "date is one such as 2026-11-30") from error
        return JSONResponse({"date": day.isoformat(), "counts": counts})

    async def _classify(self, request: Request) -> Response:
        name = self._model_name(request.query_params.get("model"))
        if self._uploads.locked():
            raise HTTPException(503, "other files are being classified: try again in a moment")
        limits = self._service.limits
        async with self._uploads:
            try:
                data = await asyncio.wait_for(read_body(request, limits.upload_bytes), _UPLOAD_WAIT_S)
                engine = await asyncio.to_thread(self._service.engine, name)
                result = await asyncio.to_thread(classify_bytes, engine, data, limits.upload_s)
            except asyncio.TimeoutError:
                raise HTTPException(408, "the file came too slowly") from None
            except TinysceneError as error:
                raise HTTPException(422, str(error)) from error
        self._service.metrics.add("uploads_total")
        return JSONResponse(result)


def load_static() -> dict[str, bytes]:
    """The files of the page, by name."""
    folder = files("runtime.server") / "static"
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}


async def error_response(request: Request, error: Exception) -> Response:
    """One JSON object with the sentence of an `HTTPException`."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _in_threads(lines: Iterator[str]) -> AsyncIterator[str]:
    """Some hundred lines at a time, read from the log in another thread."""

    def some() -> str:
        return "".join(line for line, _ in zip(lines, range(500), strict=False))

    while text := await asyncio.to_thread(some):
        yield text


def _integer(text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 16 or not low <= int(text) <= high:
        raise HTTPException(400, f"give a number from {low} to {high}")
    return int(text)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
