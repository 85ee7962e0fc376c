"""What the first bytes of a stream say that it is: a header of audio, another kind of file, or samples."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Literal

from runtime.devices.pipe import Pipe

_SHORT, _LONG = 12, 4096  # bytes that decide at once, and bytes that decide between look-alikes
_TEXT_CONTROLS = b"\t\n\r\f\x1b"


@dataclass(frozen=True)
class Kind:
    """What a stream holds.

    Attributes:
        name: in words, with its article.
        group: ``wav`` (can be read as it arrives); ``audio`` (libsndfile reads it, from a file only);
            ``convertible`` (may hold audio, but nothing here reads it); ``foreign`` (no audio at all).
    """

    name: str
    group: Literal["wav", "audio", "convertible", "foreign"]


_WAV = Kind("a WAV file", "wav")
_MP3 = Kind("an MP3 file", "audio")
_TEXT = Kind("text", "foreign")

# (where, bytes, kind); at least three bytes each: samples look like one of them once in 10**7 streams
_SIGNATURES = [
    (0, b"fLaC", Kind("a FLAC file", "audio")),
    (0, b"OggS", Kind("an Ogg file", "audio")),
    (0, b"ID3", _MP3),
    (0, b".snd", Kind("an AU file", "audio")),
    (0, b"dns.", Kind("an AU file", "audio")),
    (0, b"caff", Kind("a CAF file", "audio")),
    (0, b"RIFX", Kind("a big-endian WAV file", "audio")),
    (0, b"riff\x2e\x91\xcf\x11", Kind("a W64 file", "audio")),
    (0, b"NIST_1A\n", Kind("a NIST Sphere file", "audio")),
    (0, b"Creative Voi", Kind("a VOC file", "audio")),
    (4, b"ftyp", Kind("an MP4 file", "convertible")),
    (0, b"\x1aE\xdf\xa3", Kind("a Matroska or WebM file", "convertible")),
    (0, b"0&\xb2u\x8ef\xcf\x11", Kind("a WMA or WMV file", "convertible")),
    (0, b"#!AMR", Kind("an AMR file", "convertible")),
    (0, b"wvpk", Kind("a WavPack file", "convertible")),
    (0, b"MAC \x96\x0f", Kind("a Monkey's Audio file", "convertible")),
    (0, b"DSD \x1c\0\0\0", Kind("a DSD file", "convertible")),
    (0, b"\x89PNG", Kind("a PNG image", "foreign")),
    (0, b"GIF8", Kind("a GIF image", "foreign")),
    (0, b"II*\0", Kind("a TIFF image", "foreign")),
    (0, b"MM\0*", Kind("a TIFF image", "foreign")),
    (0, b"%PDF", Kind("a PDF document", "foreign")),
    (0, b"\x1f\x8b\x08", Kind("a gzip archive", "foreign")),
    (0, b"PK\x03\x04", Kind("a zip archive", "foreign")),
    (0, b"BZh", Kind("a bzip2 archive", "foreign")),
    (0, b"\xfd7zXZ\0", Kind("an xz archive", "foreign")),
    (0, b"(\xb5/\xfd", Kind("a zstd archive", "foreign")),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", "foreign")),
    (0, b"Rar!\x1a\x07", Kind("a rar archive", "foreign")),
    (0, b"\x7fELF", Kind("an ELF program", "foreign")),
    (0, b"SQLite format", Kind("a SQLite database", "foreign")),
    (0, b"\x93NUMPY", Kind("a NumPy array", "foreign")),
    (0, b"\x89HDF\r\n", Kind("an HDF5 file", "foreign")),
]


def identify(pipe: Pipe) -> Kind | None:
    """What arrives through a pipe; None for what can only be samples without a header.

    Waits for 12 bytes, and for 4096 where those could be text or MP3; takes none of them.

    Raises:
        AudioError: where the pipe cannot be read.
    """
    start = pipe.peek(_SHORT)
    if not start:
        return None
    if found := _by_signature(start):
        return found
    if start[:1] == b"\xff" and start[1:2] >= b"\xe0" and _is_mpeg(pipe.peek(_LONG)):
        return _MP3
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or not _controls(start):
        return _TEXT if _is_text(pipe.peek(_LONG)[:_LONG]) else None
    return None


def _by_signature(start: bytes) -> Kind | None:
    container, form = start[:4], start[8:12]
    if container in (b"RIFF", b"RF64", b"BW64"):
        return _WAV if form == b"WAVE" else Kind(f"a RIFF file of another kind ({form!r})", "convertible")
    if container == b"FORM" and form in (b"AIFF", b"AIFC"):
        return Kind("an AIFF file", "audio")
    if start[:3] == b"\xff\xd8\xff" and start[3:4] >= b"\xc0":
        return Kind("a JPEG image", "foreign")
    return next((kind for at, magic, kind in _SIGNATURES if start[at:].startswith(magic)), None)


def _is_mpeg(data: bytes) -> bool:
    """Whether a second frame of MPEG audio begins where the first one ends: samples may look like one."""
    length = _mpeg_frame_bytes(data)
    # of the header's four bytes the second and part of the third are the same in all frames of a stream
    after = data[length : length + 3]
    return length > 0 and len(after) == 3 and after[:2] == data[:2] and after[2] & 0x0C == data[2] & 0x0C


def _mpeg_frame_bytes(header: bytes) -> int:
    """Length of a frame of MPEG 1, 2 or 2.5, layer 3, from its header; 0 where it is none (ISO 11172-3)."""
    if len(header) < 4 or header[1] >> 1 & 3 != 1:
        return 0
    version, rate, row = header[1] >> 3 & 3, header[2] >> 2 & 3, header[2] >> 4
    if version == 1 or rate == 3 or row in (0, 15):
        return 0
    first = version == 3
    kbits = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320) if first else (
        8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # fmt: skip
    hz = (44_100, 48_000, 32_000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    return (144 if first else 72) * kbits[row - 1] * 1000 // hz + (header[2] >> 1 & 1)


def _is_text(data: bytes) -> bool:
    """Whether bytes read as text: UTF-16 with its mark, UTF-8, or mostly ASCII as Latin-1 is."""
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return _decodes(data, "utf-16")
    if _decodes(data, "utf-8-sig"):
        return True
    plain = sum(0x20 <= byte < 0x7F or byte in _TEXT_CONTROLS for byte in data)
    return not _controls(data) and plain >= 0.85 * len(data)


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return bool(text) and all(char.isprintable() or char in _TEXT_CONTROLS.decode() for char in text)


def _controls(data: bytes) -> bool:
    """Whether there are control characters that no text has; samples are full of them."""
    return any((byte < 0x20 and byte not in _TEXT_CONTROLS) or byte == 0x7F for byte in data)
