"""The interface of live sources: they are polled for the samples that have arrived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from runtime.audio.samples import Array


@dataclass(frozen=True)
class Chunk:
    """What has arrived at a live source since the last poll.

    Attributes:
        samples: float32 [samples, channels].
        captured_at: `time.monotonic` of the last of them, seconds.
        lost_s: seconds of audio that were lost before them; None where none were.
        event: ``device_lost`` or ``device_back``; empty otherwise.
        detail: why, in words.
        overrun: whether samples were lost because they were not taken in time.
    """

    samples: Array
    captured_at: float
    lost_s: float | None = None
    event: str = ""
    detail: str = ""
    overrun: bool = False


class Source(Protocol):
    """A live input: a microphone, a pipe or a file. It is polled again and again and never waits."""

    name: str
    sample_rate: int

    def poll(self) -> Chunk | None:
        """What is new; None where nothing is. Raises EOFError once nothing more will come."""

    def close(self) -> None:
        """Release the device or file."""
