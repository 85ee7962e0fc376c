"""Audio kept on disk, only when asked for and never more than was allowed."""

from __future__ import annotations

import itertools
import sys
import time
import wave
from pathlib import Path

import numpy as np

from runtime.audio.samples import Array
from runtime.devices.source import Chunk, Source
from runtime.errors import ConfigError, TinysceneError
from runtime.files import write_beside

_SEGMENT_S = 60.0
_HEADER_BYTES = 44  # of a wav file


class Recorder:
    """A `Source` that writes what passes through it: wav files of one minute, mono, 16 bit.

    Before each file is written, it and all wav files in the folder are held against the limit. Where it
    would be exceeded, or the disk is full, recording ends with a sentence on stderr; nothing is deleted,
    listening goes on.

    Args:
        source: what to record.
        folder: made if it does not exist.
        limit_bytes: of all wav files in the folder.
        channel: the one to keep, from 0; their mean where None.

    Raises:
        ConfigError: where the limit leaves room for nothing or the folder cannot be made.

    Example:
        >>> recorder = Recorder(FileSource(wav_path), folder, limit_bytes=1_000_000)
        >>> len(recorder.poll().samples)
        64000
        >>> recorder.close()
        >>> [path.suffix for path in folder.iterdir()]
        ['.wav']
    """

    def __init__(
        self, source: Source, folder: str | Path, limit_bytes: float, channel: int | None = None
    ) -> None:
        self.name, self.sample_rate = source.name, source.sample_rate
        self._channel = slice(None) if channel is None else slice(channel, channel + 1)
        self._source, self._folder, self._limit = source, Path(folder), limit_bytes
        self._segment = np.empty(round(_SEGMENT_S * source.sample_rate), np.int16)
        self._filled = 0
        self._stopped = False
        if not limit_bytes > _HEADER_BYTES:  # nan fails too
            raise ConfigError(f"A recording of at most {limit_bytes:.0f} bytes is none: allow more.")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"Cannot record into {folder}: {error.strerror}; name another folder."
            ) from error

    def poll(self) -> Chunk | None:
        """What the source says, written down on the way."""
        chunk = self._source.poll()
        if chunk is not None and not self._stopped:
            self._keep(chunk.samples[:, self._channel])
        return chunk

    def close(self) -> None:
        """Write what is not yet written and close the source."""
        self._write()
        self._source.close()

    def _keep(self, samples: Array) -> None:
        if not samples.size:  # of a channel that is not there, which the listener is about to say
            return
        mono = np.clip(np.round(samples.mean(axis=1) * 32768), -32768, 32767).astype(np.int16)
        while len(mono):
            taken = mono[: len(self._segment) - self._filled]
            self._segment[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            mono = mono[len(taken) :]
            if self._filled == len(self._segment):
                self._write()

    def _write(self) -> None:
        data, self._filled = self._segment[: self._filled].tobytes(), 0
        if not data or self._stopped:
            return
        try:
            used = sum(_size(path) for path in self._folder.glob("*.wav"))
            if used + _HEADER_BYTES + len(data) > self._limit:
                self._stop("it holds all it may")
                return
            with write_beside(self._free_name()) as partial, wave.open(str(partial), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(self.sample_rate)
                file.writeframes(data)
        except (OSError, TinysceneError) as error:
            self._stop(str(error))

    def _free_name(self) -> Path:
        """The time, with a number where that second has its file: a file is read faster than it sounds."""
        name = time.strftime("%Y%m%d-%H%M%S")
        tails = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        paths = (self._folder / f"{name}{tail}.wav" for tail in tails)
        return next(path for path in paths if not path.exists())

    def _stop(self, why: str) -> None:
        self._stopped = True
        print(f"warning: recording into {self._folder} ends: {why}", file=sys.stderr, flush=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # the user makes room meanwhile
        return 0
