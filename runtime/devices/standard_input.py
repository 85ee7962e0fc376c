"""Standard input as a source: with a header it is read by that header, without one as raw samples."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from runtime.devices.file_source import FileSource
from runtime.devices.pcm import PcmSource
from runtime.devices.pipe import Pipe
from runtime.devices.signature import identify
from runtime.devices.source import Source
from runtime.devices.wav_stream import WavFormat, WavReader
from runtime.errors import AudioError, ConfigError

_MAX_HEADER = 2**26  # bytes; pictures and texts may stand before the samples
_REMEDY = "pipe PCM samples or a WAV file into it (`--raw` takes any bytes as samples)"
_CONVERT = "as with `ffmpeg -loglevel error -i FILE -f wav - | ... listen -`"


@dataclass(frozen=True)
class PcmOptions:
    """The options of the command line for the samples on stdin.

    Attributes:
        raw: whether all bytes are samples, whatever they look like.
        sample_rate: Hz; None where it was not given.
        channels: None where it was not given.
        sample_format: one of `runtime.devices.sample_format.FORMATS`; None where it was not given.

    Example:
        >>> PcmOptions(sample_rate=44100).sample_rate
        44100
    """

    raw: bool = False
    sample_rate: int | None = None
    channels: int | None = None
    sample_format: str | None = None


def open_stdin(fd: int, options: PcmOptions, default_rate: int) -> Source:
    """Open stdin; waits for its first bytes unless they are raw samples by option.

    Args:
        fd: its file descriptor.
        options: of the command line.
        default_rate: of raw samples, Hz.

    Raises:
        ConfigError: where the options make no sense or contradict the header.
        AudioError: where no audio arrives.
    """
    if os.isatty(fd):
        raise ConfigError("Nothing is piped into stdin: run `arecord -f S16_LE ... | ... listen -`.")
    pipe, seekable = Pipe(fd), _is_file_at_start(fd)
    raw = PcmSource(
        pipe,
        default_rate if options.sample_rate is None else options.sample_rate,
        1 if options.channels is None else options.channels,
        options.sample_format or "s16",
    )
    if options.raw:
        return raw
    kind = identify(pipe)
    if kind is None:
        return raw
    if kind.group == "wav":
        return _wav(pipe, options, seekable)
    if kind.group == "audio":
        return _file(fd, options, kind.name, seekable)
    if kind.group == "convertible":
        raise AudioError(
            f"stdin holds {kind.name}, which is no audio that can be read: convert it, {_CONVERT}."
        )
    raise AudioError(f"stdin holds {kind.name}, not audio: {_REMEDY}.")


def _is_file_at_start(fd: int) -> bool:
    """Whether libsndfile, which seeks, can read it by a name of its own."""
    if not (stat.S_ISREG(os.fstat(fd).st_mode) and Path(f"/dev/fd/{fd}").exists()):
        return False
    return os.lseek(fd, 0, os.SEEK_CUR) == 0


def _wav(pipe: Pipe, options: PcmOptions, seekable: bool) -> Source:
    reader, seen = WavReader(), 0
    while not reader.in_data and seen < _MAX_HEADER and len(data := pipe.peek(seen + 1)) > seen:
        reader.feed(data[seen:])
        seen = len(data)
    found = reader.format
    if found is None or not reader.in_data:
        raise AudioError(
            f"The WAV header on stdin holds no samples in its first {seen} bytes: record it again."
        )
    if found.sample_format is None:
        return _file(pipe.fd, options, f"a WAV file of {found.codec}", seekable)
    sample_format = found.sample_format.name
    if options.sample_format == "s24_32" and sample_format == "s32":
        sample_format = "s24_32"  # S24_LE of some releases of arecord, whose header says 32 bits
    _check(options, found, sample_format)
    return PcmSource(pipe, found.sample_rate, found.channels, sample_format, WavReader())


def _file(fd: int, options: PcmOptions, name: str, seekable: bool) -> Source:
    if not seekable:
        raise AudioError(
            f"stdin holds {name}, which cannot be read from a pipe: redirect it (`listen - < FILE`), or "
            f"convert it, {_CONVERT}."
        )
    os.lseek(fd, 0, os.SEEK_SET)
    source = FileSource(f"/dev/fd/{fd}")
    source.name = "-"
    _check(options, WavFormat(source.sample_rate, source.channels, None, name), None)
    return source


def _check(options: PcmOptions, found: WavFormat, sample_format: str | None) -> None:
    """Compare the options with the header.

    Raises:
        ConfigError: where they contradict each other.
    """
    pairs = {
        "rate": (options.sample_rate, found.sample_rate),
        "channels": (options.channels, found.channels),
        "format": (options.sample_format, sample_format),
    }
    for name, (given, header) in pairs.items():
        if given not in (None, header):
            raise ConfigError(
                f"--{name} {given} contradicts the header on stdin ({header or found.codec}): "
                f"leave --{name} out."
            )
