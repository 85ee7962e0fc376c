"""What a live source is: something to poll for the samples that arrived since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from runtime.audio.samples import Array


@dataclass(frozen=True)
class Chunk:
    """What arrived at a live source since it was last asked.

    Attributes:
        samples: float32 [samples, channels].
        captured_at: `time.monotonic` of the last of them, seconds.
        lost_s: seconds of audio that were lost before them; None where none were.
        event: ``device_lost`` or ``device_back``; empty otherwise.
        detail: why, in words.
        overrun: whether samples were lost because nobody took them in time.
    """

    samples: Array
    captured_at: float
    lost_s: float | None = None
    event: str = ""
    detail: str = ""
    overrun: bool = False


class Source(Protocol):
    """Something that hears: it is asked again and again and never waits."""

    name: str
    sample_rate: int

    def poll(self) -> Chunk | None:
        """What is new; None where nothing is. Raises EOFError once nothing more will come."""

    def close(self) -> None:
        """Let go of it."""
