"""Audio files whose header was never completed, because the recorder was killed or wrote to a pipe.

libsndfile reads such a file to its end only for some values of the length fields. Here the header of the
others is completed in memory, from the length of the file; the file itself is not changed. RF64 and BW64
(ITU-R BS.2088) of less than 4 GB are presented as RIFF, which libsndfile reads with chunks of any length.

An Ogg file has no length in its header; its last page is marked.

Formats: RIFF and RF64 (EBU Tech 3306), AIFF (Apple, 1989), AU (Sun), CAF (Apple); FLAC in
`runtime.audio.unfinished_flac`.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from runtime.audio.unfinished_flac import flac_patches

Patches = Mapping[int, bytes]  # offset in the file to the bytes that belong there

_MAX_CHUNKS = 1000  # before the samples
_MAX_OGG_PAGE = 65_307  # bytes
_UNKNOWN = 0xFFFFFFFF  # a length of 32 bits that libsndfile takes as "to the end"


def completed(file: BinaryIO) -> io.RawIOBase | None:
    """The file with a header that libsndfile reads; None where nothing about the header can be mended.

    Args:
        file: open for reading; closed with the result, or where there is none.
    """
    try:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        patches = _patches(file, size)
    except (struct.error, OSError):  # shorter than its header
        patches = {}
    if not patches:
        file.close()
        return None
    file.seek(0)
    return _Patched(file, patches)


class _Patched(io.RawIOBase):
    """A file of which some bytes are replaced."""

    def __init__(self, file: BinaryIO, patches: Patches) -> None:
        self._file, self._patches = file, patches

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        begin = self._file.tell()
        view = memoryview(buffer).cast("B")
        data = self._file.read(len(view))
        view[: len(data)] = data
        for offset, patch in self._patches.items():
            for place, value in enumerate(patch, offset - begin):
                if 0 <= place < len(data):
                    view[place] = value
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _patches(file: BinaryIO, size: int) -> Patches:
    head = file.read(12)
    format_of = {
        b"RIFF": _riff, b"RIFX": _riff, b"RF64": _rf64, b"BW64": _rf64, b"FORM": _aiff, b".snd": _au,
        b"dns.": _au, b"caff": _caf, b"fLaC": flac_patches,
    }  # fmt: skip
    patches_of = format_of.get(head[:4])
    return {} if patches_of is None else patches_of(file, size)


def _riff(file: Any, size: int) -> Patches:
    file.seek(0)
    order = "<" if file.read(4) == b"RIFF" else ">"
    for name, place, length in chunks(file, 12, size, order + "4sI"):
        if name == b"data":
            if length or _ends_with_chunks(file, place, size, order + "4sI"):
                return {}
            return {place - 4: struct.pack(order + "I", min(size - place, _UNKNOWN))}
    return {}


def _rf64(file: Any, size: int) -> Patches:
    """As RIFF where the samples fit: in RF64, libsndfile 1.2 does not skip the pad byte of an odd chunk."""
    lengths = None  # place of the ds64 chunk's content: 64-bit lengths of RIFF, data, and the sample count
    for name, place, length in chunks(file, 12, size, "<4sI"):
        if name == b"ds64":
            lengths = place
        if name == b"data" and lengths is not None:
            file.seek(lengths + 8)
            samples = length if length != _UNKNOWN else int.from_bytes(file.read(8), "little")
            if not samples:
                if _ends_with_chunks(file, place, size, "<4sI"):
                    return {}
                samples = size - place
            unknown = struct.pack("<I", _UNKNOWN)
            if samples < _UNKNOWN:
                riff = struct.pack("<I", min(size - 8, _UNKNOWN))
                return {0: b"RIFF" + riff, place - 4: struct.pack("<I", samples)}
            long = struct.pack("<QQ", size - 8, samples)
            return {0: b"RF64" + unknown, lengths: long, place - 4: unknown}
    return {}


def _aiff(file: Any, size: int) -> Patches:
    for name, place, length in chunks(file, 12, size, ">4sI"):
        if name == b"SSND":
            if length > 8 or _ends_with_chunks(file, place + 8, size, ">4sI"):  # 8: offset and block size
                return {}
            return {place - 4: struct.pack(">I", size - place)}
    return {}


def _au(file: Any, size: int) -> Patches:
    file.seek(8)
    return {} if file.read(4) != bytes(4) else {8: struct.pack(">I", _UNKNOWN)}


def _caf(file: Any, size: int) -> Patches:
    for name, place, length in chunks(file, 8, size, ">4sq"):
        if name == b"data":
            if length > 4 or (
                length >= 0 and _ends_with_chunks(file, place + 4, size, ">4sq")
            ):  # 4: edit count
                return {}
            return {place - 8: struct.pack(">q", size - place)}
    return {}


def ogg_breaks_off(file: BinaryIO) -> bool:
    """Whether an Ogg file (RFC 3533) ends without the page that is marked as the last one of its stream."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 2 * _MAX_OGG_PAGE))
    data = file.read()
    page = data.rfind(b"OggS\0")
    return 0 <= page < len(data) - 5 and not data[page + 5] & 4


def chunks(file: Any, place: int, size: int, head: str) -> Iterator[tuple[bytes, int, int]]:
    """Walk the chunks from a place: name, place of the content, length."""
    even = struct.calcsize(head) == 8  # IFF pads contents to an even length, CAF does not
    for _ in range(_MAX_CHUNKS):
        if place >= size:  # a damaged length may lie beyond what a file can be asked for
            return
        file.seek(place)
        data = file.read(struct.calcsize(head))
        if len(data) < struct.calcsize(head):
            return
        name, length = struct.unpack(head, data)
        place += len(data)
        yield name, place, length
        place += max(length, 0) + (length % 2 if even else 0)


def _ends_with_chunks(file: Any, place: int, size: int, head: str) -> bool:
    """Whether nothing, or whole chunks with printable names, lie from a place to the end: no samples."""
    for name, begin, length in chunks(file, place, size, head):
        if not (name.isascii() and name.decode().isprintable()) or begin + length > size:
            return False
        place = begin + length
    return size - place <= 1
