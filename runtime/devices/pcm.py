"""PCM samples through a pipe, with or without a WAV header."""

from __future__ import annotations

import time

import numpy as np

from runtime.audio.samples import MAX_CHANNELS, RATES, check_amplitude
from runtime.devices.pipe import Pipe
from runtime.devices.sample_format import FORMATS
from runtime.devices.source import Chunk
from runtime.devices.wav_stream import WavReader
from runtime.errors import AudioError, ConfigError


class PcmSource:
    """Samples through a pipe, such as ``arecord -f S16_LE -r 32000 -c 1 -t raw | ... listen - --raw``.

    Args:
        pipe: read from; a file descriptor makes one.
        sample_rate: Hz.
        channels: samples a frame, interleaved.
        sample_format: one of `FORMATS`.
        wav: takes the samples out of a WAV stream; None for samples without a header.

    Raises:
        ConfigError: where the description makes no sense.

    Example:
        >>> import os
        >>> reader, writer = os.pipe()
        >>> pcm = PcmSource(reader, sample_rate=16000, sample_format="s16")
        >>> os.write(writer, np.array([16384, -16384], "<i2").tobytes())
        4
        >>> pcm.poll().samples.ravel().tolist()
        [0.5, -0.5]
    """

    def __init__(
        self,
        pipe: Pipe | int,
        sample_rate: int,
        channels: int = 1,
        sample_format: str = "s16",
        wav: WavReader | None = None,
    ) -> None:
        if sample_rate not in RATES or not 1 <= channels <= MAX_CHANNELS:
            raise ConfigError(f"PCM of {channels} channels at {sample_rate} Hz is not audio: correct them.")
        self.name, self.sample_rate, self.channels = "-", sample_rate, channels
        self._pipe = Pipe(pipe) if isinstance(pipe, int) else pipe
        self._wav = wav
        self._format = FORMATS[sample_format]
        self._rest = b""  # of a frame that is not yet complete
        self._empty = True  # no sample has come yet

    def poll(self) -> Chunk | None:
        """The frames that lie in the pipe; a read with NaN or infinite samples counts as lost.

        Raises:
            EOFError: at the end.
            AudioError: where it comes before the first sample, where the pipe cannot be read, or where
                samples are far above full scale.
        """
        data = self._pipe.read()
        if data is None:
            return None
        if not data:
            if self._empty:
                raise AudioError("stdin ended before the first sample: see what should write into the pipe.")
            raise EOFError
        data = self._rest + (data if self._wav is None else self._wav.feed(data))
        whole = len(data) - len(data) % (self._format.width * self.channels)
        self._rest = data[whole:]
        self._empty = self._empty and not whole
        samples = self._format.decode(data[:whole]).reshape(-1, self.channels)
        if not np.isfinite(samples).all():
            return Chunk(samples[:0], time.monotonic(), len(samples) / self.sample_rate)
        check_amplitude(samples, "stdin")
        return Chunk(samples, time.monotonic())

    def close(self) -> None:
        """Nothing: the pipe is its writer's."""
