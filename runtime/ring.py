"""The buffer between the audio callback, which only copies, and the thread that thinks."""

from __future__ import annotations

import time

import numpy as np

from runtime.frontend import Array


class Ring:
    """The last seconds of audio, for one writer and one reader, without locks.

    The writer never waits: it overwrites what is oldest. The reader sees afterwards whether it was too
    slow, and by how much. Counters only grow, and each has one thread that writes it.

    Args:
        frames: capacity; the reader may fall behind by three quarters of it.
        channels: samples per frame.
    """

    def __init__(self, frames: int, channels: int) -> None:
        self._buffer = np.zeros((frames, channels), np.float32)
        self._limit = frames - frames // 4  # the last quarter may be under the writer's hands
        self._read = 0
        self.written = 0  # frames since the start
        self.written_at = time.monotonic()  # when the last of them arrived, seconds

    def write(self, block: Array) -> None:
        """Append frames [n, channels]; called from the audio callback."""
        size = len(self._buffer)
        begin = self.written % size
        first = min(len(block), size - begin)
        self._buffer[begin : begin + first] = block[:first]
        self._buffer[: len(block) - first] = block[first : first + size]
        self.written_at = time.monotonic()
        self.written += len(block)

    def take(self) -> tuple[Array, int]:
        """Everything not yet read: (frames [n, channels], frames lost before them).

        A reader that fell too far behind loses its whole backlog and is up to date again: the oldest
        go first, and nothing stays late.
        """
        written, size = self.written, len(self._buffer)
        backlog = written - self._read
        begin = self._read % size
        first = min(backlog, size - begin) if backlog <= self._limit else 0
        taken = np.concatenate([self._buffer[begin : begin + first], self._buffer[: max(backlog - first, 0)]])
        overtaken = self.written - self._read > self._limit
        self._read = written
        return (taken[:0], backlog) if overtaken else (taken, 0)
