"""Bytes from a pipe: looked at before they are taken, and taken without waiting."""

from __future__ import annotations

import os
import queue
import select
import sys
import threading

from runtime.errors import AudioError

_READ_BYTES = 2**16
_QUEUED = 8  # reads that the thread may be ahead
_PATIENCE_S = 0.1  # between looks for Ctrl-C


class Pipe:
    """A file descriptor that is read without waiting; its first bytes can be looked at.

    On Windows `select` takes sockets only, so a thread reads there.

    Args:
        fd: file descriptor; 0 is stdin.
        threaded: whether a thread reads; by default only on Windows.

    Example:
        >>> reader, writer = os.pipe()
        >>> pipe = Pipe(reader)
        >>> pipe.read() is None, os.write(writer, b"RIFF"), pipe.peek(2), pipe.read()
        (True, 4, b'RIFF', b'RIFF')
    """

    def __init__(self, fd: int, *, threaded: bool = sys.platform == "win32") -> None:
        self.fd = fd
        self._head = bytearray()  # was looked at, not yet taken
        self._ended = False
        self._queue: queue.Queue[bytes | AudioError] | None = None
        if threaded:
            self._queue = queue.Queue(_QUEUED)
            threading.Thread(target=self._fill, args=(self._queue,), daemon=True).start()

    def peek(self, size: int) -> bytes:
        """Wait for ``size`` bytes or the end; what has arrived, which may be more, stays to be taken.

        Raises:
            AudioError: where the descriptor cannot be read.
        """
        while len(self._head) < size and not self._ended:
            data = self._wait()
            self._ended = not data
            self._head += data
        return bytes(self._head)

    def read(self) -> bytes | None:
        """What lies in the pipe; None where nothing does, empty at the end.

        Raises:
            AudioError: where the descriptor cannot be read.
        """
        if self._head:
            head, self._head = self._head, bytearray()
            return bytes(head)
        if self._ended:
            return b""
        if self._queue is not None:
            return None if self._queue.empty() else self._wait()
        return self._take() if select.select([self.fd], [], [], 0)[0] else None

    def _wait(self) -> bytes:
        """The next bytes, however long they take; empty at the end."""
        if self._queue is None:
            select.select([self.fd], [], [])  # the descriptor may be one that does not block
            return self._take()
        while True:
            try:
                data = self._queue.get(timeout=_PATIENCE_S)
                break
            except queue.Empty:  # Ctrl-C does not interrupt a wait without an end on Windows
                continue
        if isinstance(data, AudioError):
            raise data
        return data

    def _take(self) -> bytes:
        try:
            return os.read(self.fd, _READ_BYTES)
        except OSError as error:
            raise AudioError(
                f"stdin cannot be read ({error.strerror}): pipe audio into it, or redirect it from a file."
            ) from error

    def _fill(self, into: queue.Queue[bytes | AudioError]) -> None:
        """Read until the end, in a thread; a full queue makes it wait, and so the writer."""
        data: bytes | AudioError = b"-"
        while data and not isinstance(data, AudioError):
            try:
                data = self._take()
            except AudioError as error:
                data = error
            into.put(data)
