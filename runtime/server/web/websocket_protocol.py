"""uvicorn's WebSockets with two limits that it lacks: on answers to pings, and on fragments of a message."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_MAX_UNSENT = 2**18  # bytes; a client that pings and reads nothing would grow them for ever
_MAX_FRAGMENTS = 64  # empty ones do not count towards the size of their message


class LimitedWebSocket(WebSocketsSansIOProtocol):
    """The connection of one WebSocket; made by uvicorn.

    Example:
        >>> issubclass(LimitedWebSocket, WebSocketsSansIOProtocol)
        True
    """

    def handle_ping(self) -> None:
        """Answer a ping, or cut off a client that does not read the answers."""
        if self.transport.get_write_buffer_size() > _MAX_UNSENT:
            self.transport.abort()
            return
        super().handle_ping()

    def handle_cont(self, event: Any) -> None:
        """Take in a fragment, or cut off a client that sends too many of them."""
        if len(self.frames) >= _MAX_FRAGMENTS:
            self.transport.abort()
            return
        super().handle_cont(event)
