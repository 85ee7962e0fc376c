"""What waits to be sent to one reader: bounded, so that one who stops reading costs nothing."""

from __future__ import annotations

import asyncio
from collections import deque


class Outbox:
    """Messages for one WebSocket; all methods belong to the event loop.

    Where too many wait, the oldest window is left out, and of events the oldest.

    Args:
        limit: messages that may wait.

    Attributes:
        skipped: windows and events that were left out so far.

    Example:
        >>> outbox = Outbox(limit=2)
        >>> for message in "abc":
        ...     outbox.put(message, is_window=message != "a")
        >>> [asyncio.run(outbox.get()) for _ in range(2)], outbox.skipped
        (['a', 'c'], 1)
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[tuple[str, bool]] = deque()
        self._arrived = asyncio.Event()
        self._ended = False
        self.skipped = 0

    def put(self, message: str, is_window: bool = False) -> None:
        """Append a message."""
        self._waiting.append((message, is_window))
        if len(self._waiting) > self._limit:
            oldest = next((i for i, (_, window) in enumerate(self._waiting) if window), 0)
            del self._waiting[oldest]
            self.skipped += 1
        self._arrived.set()

    def end(self) -> None:
        """Nothing more will be put in: `get` returns None once all is taken."""
        self._ended = True
        self._arrived.set()

    async def get(self) -> str | None:
        """The next message, once there is one."""
        while not self._waiting:
            if self._ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()[0]
