"""The server: the application, its socket, and the life of what stands behind it."""

from __future__ import annotations

import asyncio
import socket
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import WebSocketRoute

from runtime.errors import ConfigError
from runtime.live.service_notification import notify
from runtime.server.limits import Limits
from runtime.server.mqtt import Publisher
from runtime.server.own_input import OwnInput
from runtime.server.service import Service
from runtime.server.web.api import Api, error_response
from runtime.server.web.captures import CapturesApi
from runtime.server.web.guard import Access, App, Guard, Receive, Scope, Send, is_loopback
from runtime.server.web.sockets import Sockets
from runtime.server.web.websocket_protocol import LimitedWebSocket

_REQUESTS = 200  # at a time, beside the WebSockets
_SWITCH_S = 1e-3  # between threads; Python's 5 ms add up where inference gives the lock back twenty times


@dataclass(frozen=True)
class Address:
    """Where the server listens.

    Attributes:
        host: name or address.
        port: 0 takes a free one.
        certificate: PEM file for TLS, where there is one.
        key: its private key, where it is another file.

    Raises:
        ConfigError: where there is a key alone.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what uvicorn does not."""
        if self.key and not self.certificate:
            raise ConfigError(f"--key {self.key} belongs to a certificate: give --certificate, too.")

    @property
    def scheme(self) -> str:
        """Of the page's URL."""
        return "http" if self.certificate is None else "https"


def build_app(service: Service, own_input: OwnInput | None, access: Access) -> App:
    """The ASGI application, guarded."""
    sockets = Sockets(service, own_input)
    routes = [
        *Api(service, own_input, access).routes(),
        *_captures(own_input).routes(),
        WebSocketRoute("/ws/live", sockets.live),
        WebSocketRoute("/ws/microphone", sockets.microphone),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: error_response})
    return Guard(_reporting(app), access, service.metrics)


def _captures(own_input: OwnInput | None) -> CapturesApi:
    if own_input is None:
        return CapturesApi(None, list)
    return CapturesApi(own_input.captures, lambda: list(own_input.engine.model.labels))


def open_socket(address: Address) -> socket.socket:
    """Listen at an address.

    Raises:
        ConfigError: where it cannot be listened at.
    """
    if address.port not in range(2**16):  # getaddrinfo takes the remainder of a higher one
        raise ConfigError(f"--port {address.port} is no port: give one from 0 to 65535.")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        if sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(128)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name such as a..b
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"Cannot listen at {address.host} port {address.port} ({reason}): give another --port or --host."
        ) from error
    return listening


def serve(
    service: Service,
    own_input: OwnInput | None,
    access: Access,
    address: Address,
    publisher: Publisher | None,
) -> None:
    """Serve until a signal ends it.

    Raises:
        ConfigError: where the address or the certificate cannot be used.
        TinysceneError: what ended the live loop.
    """
    sys.setswitchinterval(_SWITCH_S)
    listening = open_socket(address)
    with listening:
        config = _config(build_app(service, own_input, access), address, service.limits)
        server = uvicorn.Server(config)
        try:
            server.config.load()
        except OSError as error:
            raise ConfigError(f"The certificate cannot be used ({error}): give PEM files.") from error
        if own_input is not None and publisher is not None:
            own_input.listeners.append(publisher.listen)
        try:
            asyncio.run(_serve(service, own_input, server, listening, publisher, address))
        finally:
            service.stop()


def _config(app: App, address: Address, limits: Limits) -> uvicorn.Config:
    limits_of_uvicorn: dict[str, Any] = {
        "ws_max_size": limits.message_bytes, "ws_per_message_deflate": False,
        "limit_concurrency": limits.clients + _REQUESTS,
        "timeout_keep_alive": 10, "timeout_graceful_shutdown": 2, "h11_max_incomplete_event_size": 2**14,
    }  # fmt: skip
    return uvicorn.Config(
        app, ws=LimitedWebSocket, http="h11", loop="asyncio", lifespan="off", log_level="critical",
        access_log=False, server_header=False, proxy_headers=False, ssl_certfile=address.certificate,
        ssl_keyfile=address.key, **limits_of_uvicorn,
    )  # fmt: skip


async def _serve(
    service: Service,
    own_input: OwnInput | None,
    server: uvicorn.Server,
    listening: socket.socket,
    publisher: Publisher | None,
    address: Address,
) -> None:
    service.start()
    if own_input is not None:
        await own_input.start()
    tasks = [asyncio.create_task(_stop_on_failure(service, server))]
    tasks += [asyncio.create_task(publisher.run())] if publisher is not None else []
    port = listening.getsockname()[1]
    host = f"[{address.host}]" if ":" in address.host else address.host
    print(f"the page: {address.scheme}://{host}:{port}/", file=sys.stderr, flush=True)
    notify("READY=1")
    try:
        await server.serve(sockets=[listening])
    finally:
        notify("STOPPING=1")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if service.failure is not None:
        raise service.failure


async def _stop_on_failure(service: Service, server: uvicorn.Server) -> None:
    await service.failed.wait()
    server.should_exit = True


def _reporting(app: App) -> App:
    """Print what an application raises: uvicorn's own log is off, since every bad request writes to it."""

    async def reporting(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception:
            traceback.print_exc()

    return reporting


def check_access(host: str, token: str | None, insecure: bool) -> None:
    """Refuse an address that others reach without a token.

    Raises:
        ConfigError: there, or where the token is short.
    """
    if token is not None and len(token) < 8:
        raise ConfigError("A token has 8 characters or more: make one with `openssl rand -hex 16`.")
    if not is_loopback(host) and token is None and not insecure:
        raise ConfigError(
            f"Anybody who reaches {host} could listen: give --token (or TINYSCENE_TOKEN), or --insecure if "
            "that is meant."
        )
