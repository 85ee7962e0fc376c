"""Audio recorded to disk, only when asked for and never more than was allowed."""

from __future__ import annotations

import itertools
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from runtime.audio.samples import Array, to_int16
from runtime.devices.source import Chunk, Source
from runtime.errors import ConfigError
from runtime.files import make_folder

_FILE_S = 60.0
_MAX_LOST_S = 0.1  # of one file, by which times in it are off
_FLUSH_S = 0.5  # what is lost where the process is killed
HEADER_BYTES = 44  # of a wav file


@dataclass(frozen=True)
class RecordedBlock:
    """Samples that were written, without a gap in them.

    Attributes:
        file: name of the wav file.
        first_frame: of the block in that file.
        frames: of the block.
        start_s: of the block in the source, seconds since its start, lost ones included.
        sample_rate: Hz.
    """

    file: str
    first_frame: int
    frames: int
    start_s: float
    sample_rate: int


def wav_header(sample_rate: int, data_bytes: int) -> bytes:
    """The `HEADER_BYTES` before the samples of a mono 16-bit WAV file.

    Args:
        sample_rate: Hz.
        data_bytes: of the samples.
    """
    riff = struct.pack("<4sI4s", b"RIFF", HEADER_BYTES - 8 + data_bytes, b"WAVE")
    pcm = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    return riff + pcm + struct.pack("<4sI", b"data", data_bytes)


class WavWriter:
    """A mono 16-bit WAV file that is valid after every write, so that it outlives a killed process.

    Samples are written first, then the sizes in the header: in between the file has more samples than it
    states, which readers ignore. Both reach the system, not necessarily the disk: forcing them there (fsync)
    at each write would wear SD cards, and helps only where the system itself crashes or loses power.

    Args:
        path: must not exist.
        sample_rate: Hz.

    Raises:
        OSError: where it cannot be written.

    Example:
        >>> writer = WavWriter(wav_path.with_name("new.wav"), 32000)
        >>> writer.write(np.zeros(1000, np.int16))
        >>> len(AudioFile(wav_path.with_name("new.wav"))._file)
        1000
        >>> writer.close()
    """

    def __init__(self, path: Path, sample_rate: int) -> None:
        self._rate, self._bytes = sample_rate, 0
        self._file: BinaryIO = path.open("xb")
        self._write_header()

    def write(self, samples: np.ndarray) -> None:
        """Append int16 samples."""
        data = samples.astype("<i2").tobytes()
        self._file.write(data)
        self._file.flush()
        self._bytes += len(data)
        self._write_header()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write_header(self) -> None:
        self._file.seek(0)
        self._file.write(wav_header(self._rate, self._bytes))
        self._file.seek(0, 2)
        self._file.flush()


class Recorder:
    """A `Source` that records what passes through it: wav files of one minute, mono, 16 bit.

    A file ends where samples were lost, so that a time in it is at most 0.1 s off; the next is named by the
    time of its own beginning.

    All wav files in the folder count against the limit. Where it would be exceeded, or the disk is full,
    recording ends with a sentence on stderr; nothing is deleted, listening goes on.

    Args:
        source: what to record.
        folder: made if it does not exist.
        limit_bytes: of all wav files in the folder.
        channel: the one to record, from 0; their mean where None.
        file_s: seconds of audio in one file.
        on_write: called with every block that was written.

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
        self,
        source: Source,
        folder: str | Path,
        limit_bytes: float,
        channel: int | None = None,
        file_s: float = _FILE_S,
        on_write: Callable[[RecordedBlock], None] | None = None,
    ) -> None:
        self.name, self.sample_rate = source.name, source.sample_rate
        self._channel = slice(None) if channel is None else slice(channel, channel + 1)
        self._source, self._folder, self._limit = source, Path(folder), limit_bytes
        self._file_samples = round(file_s * source.sample_rate)
        self._block = np.empty(max(1, round(_FLUSH_S * source.sample_rate)), np.int16)
        self._filled = 0  # of the block, which is not yet written
        self._writer: WavWriter | None = None
        self._written = 0  # samples in its file
        self._used = 0  # bytes in the folder, this file included
        self._lost_s = 0.0  # since its file began
        self._stopped = False
        self._position = 0  # samples of the source before the end of the block, lost ones included
        self._on_write = on_write
        if not limit_bytes > HEADER_BYTES:  # nan fails too
            raise ConfigError(f"A recording of at most {limit_bytes:.0f} bytes holds nothing: allow more.")
        make_folder(self._folder)

    def poll(self) -> Chunk | None:
        """The chunk of the source, recorded on the way."""
        chunk = self._source.poll()
        if chunk is not None and chunk.lost_s:
            self._flush()  # a block has no gap in it
            self._position += round(chunk.lost_s * self.sample_rate)
            self._lost_s += chunk.lost_s
            if self._lost_s > _MAX_LOST_S:
                self._end_file()
        if chunk is not None and not self._stopped:
            self._record(chunk.samples[:, self._channel])
        elif chunk is not None:
            self._position += len(chunk.samples)
        return chunk

    @property
    def elapsed_s(self) -> float:
        """Seconds of the source so far, lost ones included."""
        return self._position / self.sample_rate

    def close(self) -> None:
        """Write what is not yet written and close the source."""
        self._flush()
        self._end_file()
        self._source.close()

    def _record(self, samples: Array) -> None:
        if not samples.size:  # of a channel that does not exist, which the stream is about to refuse
            return
        mono = to_int16(samples.mean(axis=1))
        while len(mono):
            room = min(len(self._block), self._file_samples - self._written) - self._filled
            taken, mono = mono[:room], mono[room:]
            self._block[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            self._position += len(taken)
            if len(taken) == room:
                self._flush()

    def _flush(self) -> None:
        """Write the block; a file that is full ends with it."""
        samples, self._filled = self._block[: self._filled], 0
        if not len(samples) or self._stopped:
            return
        try:
            if self._writer is None:
                self._used = HEADER_BYTES + sum(_size(path) for path in self._folder.glob("*.wav"))
            self._used += samples.nbytes
            if self._used > self._limit:
                self._stop("its limit is reached")
                return
            if self._writer is None:
                path = self._free_name()
                self._writer, self._name = WavWriter(path, self.sample_rate), path.name
            self._writer.write(samples)
        except OSError as error:
            self._stop(str(error))
            return
        if self._on_write is not None:
            start_s = (self._position - len(samples)) / self.sample_rate
            self._on_write(RecordedBlock(self._name, self._written, len(samples), start_s, self.sample_rate))
        self._written += len(samples)
        if self._written == self._file_samples:
            self._end_file()

    def _end_file(self) -> None:
        if self._writer is not None:
            with suppress(OSError):  # of a write that failed before, and was reported
                self._writer.close()
        self._writer, self._written, self._lost_s = None, 0, 0.0

    def _free_name(self) -> Path:
        """The time, with a number where that second has its file: a file is read faster than it sounds."""
        name = time.strftime("%Y%m%d-%H%M%S")
        tails = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        paths = (self._folder / f"{name}{tail}.wav" for tail in tails)
        return next(path for path in paths if not path.exists())

    def _stop(self, why: str) -> None:
        self._stopped = True
        self._end_file()
        print(f"warning: recording into {self._folder} ends: {why}", file=sys.stderr, flush=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # deleted meanwhile
        return 0
