"""The ring buffer between the audio callback, which only copies, and the consumer thread."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from runtime.audio.samples import Array


class RingBuffer:
    """The last seconds of audio, for one writer and one reader, without locks.

    The writer never waits: it overwrites what is oldest. The reader sees afterwards whether it was too
    slow, and by how much. Counters only grow, and each has one thread that writes it.

    Args:
        frames: capacity; the reader may fall behind by three quarters of it.
        channels: samples per frame.
        clock: seconds, monotonic.

    Attributes:
        written: frames since the start.
        written_at: when the last of them arrived, by the clock.

    Example:
        >>> ring = RingBuffer(frames=8, channels=1)
        >>> ring.write(np.arange(3, dtype=np.float32)[:, None])
        >>> ring.take()[0].ravel().tolist()
        [0.0, 1.0, 2.0]
        >>> ring.write(np.zeros((7, 1), np.float32))
        >>> ring.take()[1]
        7
    """

    def __init__(self, frames: int, channels: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._buffer = np.zeros((frames, channels), np.float32)
        self._limit = frames - frames // 4  # the writer may be overwriting the last quarter
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Discard everything; only while the writer is stopped."""
        self._block = 0  # frames of the latest write
        self._read = 0
        self.written = 0
        self.written_at = self._clock()

    @property
    def shape(self) -> tuple[int, int]:
        """Capacity: (frames, channels)."""
        frames, channels = self._buffer.shape
        return frames, channels

    def write(self, block: Array) -> None:
        """Append frames [n, channels], at most the capacity; called from the audio callback."""
        begin = self.written % len(self._buffer)
        first = min(len(block), len(self._buffer) - begin)
        self._buffer[begin : begin + first] = block[:first]
        self._buffer[: len(block) - first] = block[first:]
        self._block = len(block)
        self.written_at = self._clock()
        self.written += len(block)

    def take(self) -> tuple[Array, int]:
        """Everything not yet read: (frames [n, channels], frames lost before them).

        A reader that fell too far behind loses its whole backlog and is up to date again: the oldest
        go first, and nothing stays late.
        """
        begin, end = self._read, self.written
        taken = self._copy(begin, end) if end - begin <= self._limit else self._buffer[:0].copy()
        overtaken = self.written - begin > self._limit
        self._read = end
        return (taken[:0], end - begin) if overtaken else (taken, 0)

    def is_stuck(self) -> bool:
        """Whether the newest samples are a constant other than zero, or the block before once more."""
        block, end = self._block, self.written
        if not 0 < 2 * block <= min(end, self._limit):
            return False
        before, newest = self._copy(end - 2 * block, end - block), self._copy(end - block, end)
        return bool(np.any(newest)) and np.array_equal(before, newest)

    def _copy(self, begin: int, end: int) -> Array:
        size = len(self._buffer)
        start, length = begin % size, end - begin
        first = min(length, size - start)
        copy: Array = np.concatenate([self._buffer[start : start + first], self._buffer[: length - first]])
        return copy
