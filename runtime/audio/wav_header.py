"""What a WAV header says of its samples, for files and pipes alike."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO, NamedTuple

from runtime.audio.unfinished import chunks

CONTAINERS = (b"RIFF", b"RF64", b"BW64")
PCM = 1  # the tag of integer samples
# A stated length from here on means that it was not known: arecord writes 2**31 - 256, others up to 2**32 - 1
PLACEHOLDER = 0x7FFF0000
_PADDING = 2**20  # bytes of zeros behind the samples that are no sound


def has_low_24_bits(body: bytes) -> bool:
    """Whether samples are ALSA's S24_LE: the lower 24 of 32 bits, and not, as elsewhere, the upper ones.

    Args:
        body: of the ``fmt `` chunk, at least 16 bytes.
    """
    tag, channels, _, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", body)
    return bool(tag == PCM and bits == 24 and frame_bytes == 4 * channels)


class Extent(NamedTuple):
    """The samples of a WAV file, in bytes.

    Attributes:
        present: that the header counts and that are there.
        missing: that the header counts and that lie behind the end of the file.
        uncounted: that follow those that the header counts.

    Example:
        >>> extent_of(io.BytesIO(wav_path.read_bytes()[:-8000]))
        Extent(present=120000, missing=8000, uncounted=0)
    """

    present: int
    missing: int
    uncounted: int


def extent_of(file: BinaryIO) -> Extent | None:
    """How many samples a WAV file has and should have; None where its header does not say it.

    Args:
        file: RIFF, RF64 or BW64, open for reading; anything else has no extent.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] not in (*CONTAINERS, b"RIFX") or head[8:] != b"WAVE":
        return None
    long_length = None
    for name, place, length in chunks(file, 12, size, ">4sI" if head[:4] == b"RIFX" else "<4sI"):
        if name == b"ds64":
            long_length = int.from_bytes(file.read(16)[8:], "little")
        if name != b"data":
            continue
        if length == 0xFFFFFFFF and long_length:
            length = long_length
        elif length == 0 or length >= PLACEHOLDER:
            return None
        present = min(length, size - place)
        return Extent(present, length - present, _sound_behind(file, place + length, size))
    return None


def _sound_behind(file: BinaryIO, place: int, size: int) -> int:
    """Bytes from a place to the end of a file; 0 where they begin with a chunk or tag, or are padding."""
    if place >= size:
        return 0
    file.seek(place)
    data = file.read(_PADDING)
    # 3 letters, as ID3 tags have; not every writer pads a chunk of odd length, so it may begin a byte later
    names = (data[:3], data[1:4])
    is_named = any(name.isascii() and name.decode().isprintable() for name in names)
    return 0 if is_named or not any(data) else size - place
