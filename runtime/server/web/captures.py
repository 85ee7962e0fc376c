"""The captures of the server's own input over HTTP: listed, played, sorted into class folders."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from runtime.capture.capture_name import CaptureName, file_label
from runtime.capture.sorting import NOT_A_CLASS, Sorting
from runtime.errors import TinysceneError
from runtime.server.web.bodies import read_body

_MAX_BODY_BYTES = 4096
_LISTED = 50  # in one answer, the latest
_SHAPE = (
    'send {"name": "...", "label": "..."} or {"name": "...", "delete": true} with names from /api/captures'
)


class CapturesApi:
    """Answers requests about captures.

    Args:
        sorting: of the captures; None where none are made.
        labels: of the model in use.

    Example:
        >>> [route.path for route in CapturesApi(None, list).routes()][0]
        '/api/captures'
    """

    def __init__(self, sorting: Sorting | None, labels: Callable[[], list[str]]) -> None:
        self._sorting, self._labels = sorting, labels

    def routes(self) -> list[BaseRoute]:
        """Paths and what answers them."""
        return [
            Route("/api/captures", self._list),
            Route("/api/captures", self._sort, methods=["POST"]),
            Route("/api/captures/sound.wav", self._sound),
        ]

    async def _list(self, request: Request) -> Response:
        sorting = self._found()
        paths, classes = await asyncio.to_thread(lambda: (sorting.captures(), self._classes(sorting)))
        latest = [fields for path in paths[: -_LISTED - 1 : -1] if (fields := _fields(path)) is not None]
        return JSONResponse({"captures": latest, "count": len(paths), "classes": classes})

    async def _sound(self, request: Request) -> Response:
        path = await self._path(request.query_params.get("name"))
        return FileResponse(path, media_type="audio/wav")

    async def _sort(self, request: Request) -> Response:
        """Move or delete a capture; JSON only, which a form of another site cannot send."""
        sorting = self._found()
        try:
            fields = json.loads(await read_body(request, _MAX_BODY_BYTES))
            name, label, delete = fields["name"], fields.get("label"), fields.get("delete") is True
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise HTTPException(400, _SHAPE) from error
        path = await self._path(name)
        if not delete and label not in [*await asyncio.to_thread(self._classes, sorting), NOT_A_CLASS]:
            raise HTTPException(400, _SHAPE)
        try:
            if delete:
                await asyncio.to_thread(sorting.delete, path)
                return JSONResponse({"deleted": name})
            await asyncio.to_thread(sorting.move, path, label)
        except TinysceneError as error:
            raise HTTPException(422, str(error)) from error
        return JSONResponse({"moved": name, "label": label})

    def _found(self) -> Sorting:
        if self._sorting is None:
            raise HTTPException(404, "nothing is captured: start `serve` with --capture")
        return self._sorting

    def _classes(self, sorting: Sorting) -> list[str]:
        return sorted({*sorting.classes(), *map(file_label, self._labels())} - {NOT_A_CLASS})

    async def _path(self, name: Any) -> Path:
        """The file of a capture by its name in the list: no path is made of it."""
        paths = await asyncio.to_thread(self._found().captures)
        found = next((path for path in paths if path.name == name), None)
        if found is None:
            raise HTTPException(404, "there is no such capture: it was sorted, or gave way to others")
        return found


def _fields(path: Path) -> dict[str, Any] | None:
    name = CaptureName.parse(path.name)
    if name is None:
        return None
    try:
        at = datetime.strptime(name.session[:9] + name.time, "%Y%m%dT%H%M%S").astimezone()
    except (ValueError, OverflowError, OSError):  # somebody else's name, with 61 minutes
        return None
    return {
        "name": path.name, "label": name.label, "kind": name.kind, "score": name.score,
        "time": at.isoformat(),
    }  # fmt: skip
