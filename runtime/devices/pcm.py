"""Raw PCM samples through a pipe."""

from __future__ import annotations

import os
import select
import time

import numpy as np

from runtime.audio.samples import MAX_CHANNELS, RATES, Array, check_amplitude
from runtime.devices.source import Chunk
from runtime.errors import AudioError, ConfigError

PCM_FORMATS = {"s16": "<i2", "s32": "<i4", "f32": "<f4"}  # little-endian, as arecord writes them


class Pcm:
    """Raw samples through a pipe, such as ``arecord -f S16_LE -r 32000 -c 1 -t raw | ... listen -``.

    Args:
        fd: file descriptor to read from; 0 is stdin.
        sample_rate: Hz.
        channels: samples per frame, interleaved.
        sample_format: one of `PCM_FORMATS`.

    Raises:
        ConfigError: where the description makes no sense or ``fd`` is a terminal.

    Example:
        >>> reader, writer = os.pipe()
        >>> pcm = Pcm(reader, sample_rate=16000, sample_format="s16")
        >>> os.write(writer, np.array([16384, -16384], "<i2").tobytes())
        4
        >>> pcm.poll().samples.ravel().tolist()
        [0.5, -0.5]
    """

    def __init__(self, fd: int, sample_rate: int, channels: int = 1, sample_format: str = "s16") -> None:
        if os.isatty(fd):
            raise ConfigError(
                "Nothing is piped into stdin: run `arecord -f S16_LE -t raw ... | ... listen -`."
            )
        if sample_rate not in RATES or not 1 <= channels <= MAX_CHANNELS:
            raise ConfigError(f"PCM of {channels} channels at {sample_rate} Hz is not audio: correct them.")
        self.name, self.sample_rate, self.channels = "-", sample_rate, channels
        self._fd = fd
        self._type = np.dtype(PCM_FORMATS[sample_format])
        self._rest = b""  # of a frame that is not yet complete

    def poll(self) -> Chunk | None:
        """The frames that lie in the pipe; NaN and what is far above full scale count as lost."""
        if not select.select([self._fd], [], [], 0)[0]:
            return None
        data = os.read(self._fd, 2**16)
        if not data:
            raise EOFError
        data = self._rest + data
        whole = len(data) - len(data) % (self._type.itemsize * self.channels)
        self._rest = data[whole:]
        samples = self._scale(np.frombuffer(data[:whole], self._type).reshape(-1, self.channels))
        try:
            check_amplitude(samples)
        except AudioError:
            return Chunk(samples[:0], time.monotonic(), len(samples) / self.sample_rate)
        return Chunk(samples, time.monotonic())

    def _scale(self, frames: np.ndarray) -> Array:
        full_scale = np.float32(2.0 ** (8 * self._type.itemsize - 1)) if self._type.kind == "i" else 1
        return frames.astype(np.float32) / np.float32(full_scale)

    def close(self) -> None:
        """Nothing: the pipe is its writer's."""
