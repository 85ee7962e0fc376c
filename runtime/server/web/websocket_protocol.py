"""uvicorn's WebSockets with limits that it lacks.

A client that reads nothing must not grow what waits for it, and must not hold its connection for ever.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_MAX_UNSENT = 2**18  # bytes; a client that pings and reads nothing would grow them for ever
_MAX_FRAGMENTS = 64  # of a message; empty ones do not count towards its size
_CLOSE_S = 10.0  # for what was sent to be read, and the close to be answered
_CUT_OFF_S = 1.0  # the same for a client that broke a limit
_POLICY = 1008  # close code of a broken limit


class LimitedWebSocket(WebSocketsSansIOProtocol):
    """The connection of one WebSocket; made by uvicorn.

    Example:
        >>> issubclass(LimitedWebSocket, WebSocketsSansIOProtocol)
        True
    """

    _close_s = _CLOSE_S

    async def send(self, message: Any) -> None:
        """Send an ASGI message."""
        await super().send(message)
        if message["type"] == "websocket.close" and message.get("code") == _POLICY:
            self._close_s = _CUT_OFF_S
            self.transport.pause_reading()  # what a flood still brings is not even looked at

    async def run_asgi(self) -> None:
        """Run the application; its connection ends soon after it, whatever the client does."""
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(self._close_s, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """Cut off a client that did not answer a ping."""
        super().keepalive_timeout()
        self.transport.abort()

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
