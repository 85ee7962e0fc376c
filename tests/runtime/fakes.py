"""A sound card and a clock that tests move."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np


class PortAudioError(Exception):
    pass


class FakeAudio:
    """Stands in for sounddevice: PortAudio with the devices it saw when it started.

    ``plan`` holds what happens at which time; ``plugged`` the devices that are there.
    """

    PortAudioError = PortAudioError

    def __init__(
        self, sound: Callable[[int, int], np.ndarray], names: tuple[str, ...] = ("USB mic",)
    ) -> None:
        self.now = 0.0
        self.plugged = list(names)
        self.rates: tuple[int, ...] = (32_000, 48_000)
        self.default = SimpleNamespace(device=[0, 0])
        self.default_rate = 48_000
        self.rng = np.random.default_rng(0)
        self.streams: list[FakeStream] = []
        self.starts = 0
        self.sound = sound  # (first frame, frames) -> float32 [frames]
        self.plan: list[tuple[float, Callable[[], object]]] = []
        self._initialize()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass: sound arrives in blocks of any size."""
        self.now += seconds
        while self.plan and self.plan[0][0] <= self.now:
            self.plan.pop(0)[1]()
        for stream in list(self.streams):
            if stream.active and stream.name in self.plugged:
                stream.deliver(self.now, self.rng)

    def _initialize(self) -> None:
        self.starts += 1
        self._listed = list(self.plugged)

    def _terminate(self) -> None:
        for stream in self.streams:
            stream.active = False
        self.streams.clear()

    def query_devices(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "max_input_channels": 2, "default_samplerate": float(self.default_rate)}
            for name in self._listed
        ]

    def InputStream(self, **options: Any) -> FakeStream:  # noqa: N802 - sounddevice's name
        name = self._listed[options["device"]]
        if name not in self.plugged or options["samplerate"] not in self.rates:
            raise PortAudioError("Invalid sample rate")
        return FakeStream(self, name, **options)


class FakeStream:
    def __init__(
        self, audio: FakeAudio, name: str, *, samplerate: int, channels: int, callback: Any, **_: Any
    ) -> None:
        self.audio, self.name, self.callback = audio, name, callback
        self.rate, self.channels = samplerate, channels
        self.active = False
        self.delivered = 0  # frames since the start

    def start(self) -> None:
        self.active, self.begun = True, self.audio.now
        self.audio.streams.append(self)

    def deliver(self, now: float, rng: np.random.Generator) -> None:
        due = round((now - self.begun) * self.rate) - self.delivered
        while due > 0:
            frames = min(due, int(rng.integers(1, 5000)))
            first = round(self.begun * self.rate) + self.delivered
            block = np.repeat(self.audio.sound(first, frames)[:, None], self.channels, axis=1)
            self.callback(block, frames, None, SimpleNamespace(input_overflow=False))
            self.delivered += frames
            due -= frames

    def abort(self, ignore_errors: bool = True) -> None:
        self.active = False

    def close(self, ignore_errors: bool = True) -> None:
        if self in self.audio.streams:
            self.audio.streams.remove(self)


def white(first: int, frames: int) -> np.ndarray:
    """Noise that depends on the place in time only: a lattice hash, cheap and the same in any cut."""
    n = np.arange(first, first + frames, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    n ^= n >> np.uint64(29)
    n *= np.uint64(0xBF58476D1CE4E5B9)
    return ((n >> np.uint64(40)).astype(np.float32) / np.float32(2**24) - np.float32(0.5)) * np.float32(0.2)
