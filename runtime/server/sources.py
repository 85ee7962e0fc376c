"""Live sources of the page: what a browser sends, and a file that plays at its own speed."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from runtime.audio.samples import RATES, Array
from runtime.devices.file_source import FileSource
from runtime.devices.sample_format import FORMATS
from runtime.devices.source import Chunk
from runtime.errors import ConfigError, TinysceneError

BACKLOG_S = 6.0  # that the live loop may be behind, more than `Limits.ahead_s`, before samples are lost
_POLL_S = 0.5  # at a time, or a little more: a browser that catches up delays the others no longer
_MAX_QUEUE = 2000  # messages, however short

_PCM = FORMATS["s16"]


class _Message(NamedTuple):
    lost_s: float  # before its samples
    samples: bytes
    arrived_at: float


class BrowserSource:
    """Mono 16-bit samples that a WebSocket delivers: the event loop puts them in, the live loop polls them.

    Args:
        name: of the stream.
        sample_rate: Hz, of the browser's audio context.
        clock: seconds, monotonic.

    Raises:
        ConfigError: where the rate is out of range.

    Example:
        >>> source = BrowserSource("browser 1", 48_000)
        >>> source.put(np.array([16384, -16384], "<i2").tobytes())
        >>> source.lose(0.5)
        >>> source.poll().samples.ravel().tolist(), source.poll().lost_s
        ([0.5, -0.5], 0.5)
    """

    def __init__(self, name: str, sample_rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        if sample_rate not in RATES:
            raise ConfigError(f"A sample rate of {sample_rate} Hz is out of range: give one such as 48000.")
        self.name, self.sample_rate = name, sample_rate
        self._clock, self._lock = clock, threading.Lock()
        self._queue: deque[_Message] = deque()
        self._waiting_bytes = 0
        self._overrun = self._ended = False

    def put(self, samples: bytes) -> None:
        """Append samples; where the live loop is too far behind, its whole backlog is lost."""
        with self._lock:
            self._append(0.0, samples)

    def lose(self, seconds: float) -> None:
        """Note that samples were lost after those that came so far."""
        with self._lock:
            self._append(seconds, b"")

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True

    def poll(self) -> Chunk | None:
        """See `Source.poll`."""
        with self._lock:
            if not self._queue:
                if self._ended:
                    raise EOFError
                return None
            messages = [self._queue.popleft()]
            size, most = len(messages[0].samples), _POLL_S * self.sample_rate * _PCM.width
            while self._queue and not self._queue[0].lost_s and size < most:
                messages.append(self._queue.popleft())
                size += len(messages[-1].samples)
            self._waiting_bytes -= size
            overrun, self._overrun = self._overrun, False
        samples = _PCM.decode(b"".join(message.samples for message in messages))[:, None]
        return Chunk(samples, messages[-1].arrived_at, messages[0].lost_s or None, overrun=overrun)

    def close(self) -> None:
        """Nothing: the WebSocket is the server's."""

    def _append(self, lost_s: float, samples: bytes) -> None:
        now = self._clock()
        self._queue.append(_Message(lost_s, samples, now))
        self._waiting_bytes += len(samples)
        bytes_per_s = self.sample_rate * _PCM.width
        if self._waiting_bytes > BACKLOG_S * bytes_per_s or len(self._queue) > _MAX_QUEUE:
            lost_s = sum(message.lost_s for message in self._queue) + self._waiting_bytes / bytes_per_s
            self._queue.clear()
            self._queue.append(_Message(lost_s, b"", now))
            self._waiting_bytes, self._overrun = 0, True


class PacedFile:
    """An audio file that plays once, at its own speed, as a microphone would deliver it.

    Args:
        path: where it lies.
        clock: seconds, monotonic.

    Raises:
        AudioError: see `AudioFile`.

    Example:
        >>> times = iter([0.0, 0.0, 0.5])
        >>> file = PacedFile(wav_path, clock=lambda: next(times))
        >>> file.poll(), len(file.poll().samples)
        (None, 16000)
        >>> file.close()
    """

    def __init__(self, path: str | Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = FileSource(path)
        self.name, self.sample_rate = self._file.path.name, self._file.sample_rate
        self._clock, self._begun, self._played = clock, clock(), 0
        self._rest: Array = np.empty((0, self._file.channels), np.float32)

    def poll(self) -> Chunk | None:
        """The frames that are due, see `Source.poll`; a file that is damaged further in ends there."""
        now = self._clock()
        due = int((now - self._begun) * self.sample_rate) - self._played
        if due <= 0:
            return None
        while len(self._rest) < due and (block := self._read()) is not None:
            self._rest = np.concatenate([self._rest, block])
        if not len(self._rest):
            raise EOFError
        samples, self._rest = self._rest[:due], self._rest[due:]
        self._played += len(samples)
        return Chunk(samples, now)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self) -> Array | None:
        try:
            return self._file.poll().samples
        except EOFError:
            return None
        except TinysceneError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            return None
