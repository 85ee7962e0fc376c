"""Where audio comes from besides the microphone: files of any length, and PCM through a pipe."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from runtime.errors import AudioError, ConfigError
from runtime.frontend import Array, is_sound
from runtime.windows import RATES

_BLOCK_SAMPLES = 2**16  # over all channels: what is decoded at a time
_MAX_CHANNELS = 64

PCM_FORMATS = {"s16": "<i2", "s32": "<i4", "f32": "<f4"}  # little-endian, as arecord writes them


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


class AudioFile:
    """An audio file that libsndfile reads: wav, flac, ogg, mp3 and more.

    Args:
        path: where it lies.

    Raises:
        AudioError: where the file is missing, empty, or not audio.

    Example:
        >>> file = AudioFile(wav_path)
        >>> file.sample_rate, file.channels
        (32000, 1)
        >>> sum(len(block) for block in file.blocks())
        64000
    """

    def __init__(self, path: str | Path) -> None:
        import soundfile  # only here: a microphone does without it

        self.path = Path(path)
        self.name = str(path)
        if self.path.is_dir():
            raise AudioError(f"{path} is a folder: name the audio files in it.")
        if not self.path.exists():
            raise AudioError(f"There is no audio file {path}: check its name.")
        if not self.path.is_file():
            raise AudioError(f"{path} is no regular file: pipe raw samples into `listen -` instead.")
        if self.path.stat().st_size == 0:
            raise AudioError(f"{path} is empty (0 bytes): record or copy it again.")
        try:
            self._file = soundfile.SoundFile(path)
        except (soundfile.SoundFileError, RuntimeError, OSError) as error:
            raise AudioError(
                f"{path} is not audio that can be read: give a wav, flac, ogg or mp3 file."
            ) from error
        self.sample_rate, self.channels = self._file.samplerate, self._file.channels
        self._blocks = self.blocks()
        if not 1 <= self.channels <= _MAX_CHANNELS or self.sample_rate not in RATES:
            self.close()
            raise AudioError(
                f"{path} claims {self.channels} channels at {self.sample_rate} Hz: its header is damaged; "
                "save it again as wav or flac."
            )

    def blocks(self) -> Iterator[Array]:
        """Decode block after block, float32 [samples, channels] in [-1, 1], and close the file.

        Raises:
            AudioError: where the file holds no samples, is damaged further in, or holds NaN.
        """
        heard = 0
        try:
            while len(block := self._decode(heard)):
                heard += len(block)
                yield block
        finally:
            self.close()
        if not heard:
            raise AudioError(f"{self.name} holds no samples: record it again.")

    def _decode(self, heard: int) -> Array:
        try:
            block: Array = self._file.read(_BLOCK_SAMPLES // self.channels, dtype="float32", always_2d=True)
        except (OSError, RuntimeError) as error:  # soundfile's errors are RuntimeErrors
            raise AudioError(f"{self.name} is damaged after {heard} samples: copy it again.") from error
        if not is_sound(block):
            raise AudioError(
                f"{self.name} holds samples that are NaN, infinite or beyond all measure: repair or "
                "re-record it."
            )
        return block

    def poll(self) -> Chunk:
        """The next block, as a `Source`; never late."""
        block = next(self._blocks, None)
        if block is None:
            raise EOFError
        return Chunk(block, time.monotonic())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


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
        if sample_rate not in RATES or not 1 <= channels <= _MAX_CHANNELS:
            raise ConfigError(f"PCM of {channels} channels at {sample_rate} Hz is not audio: correct them.")
        self.name, self.sample_rate, self.channels = "-", sample_rate, channels
        self._fd = fd
        self._type = np.dtype(PCM_FORMATS[sample_format])
        self._rest = b""  # of a frame that is not yet complete

    def poll(self) -> Chunk | None:
        """The frames that lie in the pipe; NaN and what is beyond all measure count as lost."""
        if not select.select([self._fd], [], [], 0)[0]:
            return None
        data = os.read(self._fd, 2**16)
        if not data:
            raise EOFError
        data = self._rest + data
        whole = len(data) - len(data) % (self._type.itemsize * self.channels)
        self._rest = data[whole:]
        samples = self._scale(np.frombuffer(data[:whole], self._type).reshape(-1, self.channels))
        if not is_sound(samples):
            return Chunk(samples[:0], time.monotonic(), len(samples) / self.sample_rate)
        return Chunk(samples, time.monotonic())

    def _scale(self, frames: np.ndarray) -> Array:
        full_scale = np.float32(2.0 ** (8 * self._type.itemsize - 1)) if self._type.kind == "i" else 1
        return frames.astype(np.float32) / np.float32(full_scale)

    def close(self) -> None:
        """Nothing: the pipe is its writer's."""
