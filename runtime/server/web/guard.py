"""Who may talk to the server: checks of Host, Origin and token before anything else, and safe headers after.

- **Host** against DNS rebinding: a name that an attacker controls may resolve to this machine, but then the
  browser sends that name. Addresses cannot be rebound, so on a public address any address is a valid Host.
- **Origin** against other sites: browsers send it with every WebSocket, and let any site open one.
- **Token**: a bearer token for programs; for browsers a cookie that the form at `/login` sets. Neither the
  cookie nor an error gives the token away.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from runtime.server.limits import AddressAllowances
from runtime.server.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "tinyscene"
_OPEN = ("/login", "/static/style.css", "/static/icon.svg")  # without the token
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with none, browsers send the form at /login with the origin "null"
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Access:
    """Who may use the server.

    Attributes:
        host: the address that it listens on.
        token: that is asked for; None where nothing is.
        names: further host names that the page is reached by.

    Example:
        >>> access = Access("127.0.0.1", None)
        >>> access.is_host("localhost:8765"), access.is_host("evil.example:8765")
        (True, False)
        >>> access.is_origin("http://localhost:8765", "localhost:8765")
        True
    """

    host: str
    token: str | None
    names: frozenset[str] = frozenset()

    def is_host(self, header: str) -> bool:
        """Whether a Host header names this machine, with any port, as behind a tunnel."""
        name = _host_name(header)
        if name is None:
            return False
        if name == "localhost" or name.removesuffix(".") in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return not is_loopback(self.host) and name in _own_names(self.host)
        return address.is_loopback or not is_loopback(self.host)

    def is_origin(self, origin: str, host_header: str) -> bool:
        """Whether an Origin header is that of the page itself."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host_header.lower()

    def is_token(self, text: str) -> bool:
        """Compare a token in constant time."""
        return self.token is None or hmac.compare_digest(_digest(text), _digest(self.token))

    def cookie(self) -> str:
        """What stands in a browser's cookie in place of the token."""
        return _digest(f"cookie of {self.token}")

    def is_allowed(self, headers: dict[str, str]) -> bool:
        """Whether a request carries the token or the cookie."""
        if self.token is None:
            return True
        kind, _, text = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.is_token(text.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self.cookie().encode())


class Guard:
    """An ASGI application around another: refuses what `Access` does not allow.

    Args:
        app: answers what is allowed.
        access: who may use it.
        metrics: counts what was refused.

    Example:
        >>> guard = Guard(app=None, access=Access("127.0.0.1", "secret"), metrics=Metrics())
        >>> guard.refusal("GET", "/", {"host": "evil.example"}, "192.0.2.1")
        (421, 'host')
        >>> bearer = {"host": "localhost", "authorization": "Bearer secret"}
        >>> guard.refusal("GET", "/api/model", bearer, "192.0.2.1")
    """

    def __init__(self, app: Any, access: Access, metrics: Metrics) -> None:
        self._app, self._access, self._metrics = app, access, metrics
        self._attempts = AddressAllowances(per_s=1.0, burst=20.0)  # to give a token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or a WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        address = scope["client"][0] if scope.get("client") else ""
        refused = self.refusal(scope.get("method", "GET"), scope["path"], headers, address)
        if refused is None:
            await self._app(scope, receive, _with_headers(send))
            return
        status, reason = refused
        self._metrics.add("refused_total", reason=reason)
        location = "/login" if status == 401 and scope["path"] == "/" else None
        await refuse(scope, _with_headers(send), status, f"{reason} refused", location)

    def refusal(
        self, method: str, path: str, headers: dict[str, str], address: str
    ) -> tuple[int, str] | None:
        """Why a request is refused: (status, reason); None where it is not."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._access.is_host(host):
            return 421, "host"
        if origin is not None and not self._access.is_origin(origin, host):
            return 403, "origin"
        if path in _OPEN or self._access.is_allowed(headers):
            is_attempt = path == "/login" and method == "POST"
            return (429, "attempts") if is_attempt and not self._attempts.spend(address) else None
        if "authorization" in headers and not self._attempts.spend(address):
            return 429, "attempts"
        return 401, "token"


async def refuse(scope: Scope, send: Send, status: int, text: str, location: str | None = None) -> None:
    """Answer with a status and one line of text; a WebSocket is answered before it opens."""
    kind = "http" if scope["type"] == "http" else "websocket.http"
    status, headers = (303 if location else status), [(b"content-type", b"text/plain; charset=utf-8")]
    if location:
        headers.append((b"location", location.encode()))
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="tinyscene"'))
    await send({"type": f"{kind}.response.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.response.body", "body": f"{text}\n".encode()})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address that a server listens on."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            present = {name.lower() for name, _ in message["headers"]}
            more = ((name.encode(), value.encode()) for name, value in _HEADERS.items())
            message["headers"] = [*message["headers"], *(pair for pair in more if pair[0] not in present)]
        await send(message)

    return send_with_headers


def _host_name(header: str) -> str | None:
    """The name in a Host header, without its port, in lower case; None where it is not one."""
    if not header or any(char in header for char in "/\\@?# \t,"):
        return None
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port  # raises ValueError where it is not a number
        return parts.hostname
    except ValueError:
        return None


def _own_names(host: str) -> Iterable[str]:
    name = socket.gethostname().lower()
    return {name, f"{name}.local", host.lower()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
