"""What the first bytes of a stream say that it is: a header of audio, another kind of file, or samples."""

from __future__ import annotations

import codecs
import unicodedata
from dataclasses import dataclass
from typing import Literal

from runtime.devices.pipe import Pipe

_START, _TWO_FRAMES = 512, 4096  # bytes: of what is looked at, and of two frames of MPEG audio
_FEW_VALUES = 8  # a constant of 64 bits has no more different bytes
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


_MP3 = Kind("an MP3 file", "audio")
_AAC = Kind("an AAC stream", "convertible")
_TEXT = Kind("text", "foreign")
_RIFF = {
    b"WAVE": Kind("a WAV file", "wav"),
    b"AVI ": Kind("an AVI video", "convertible"),
    b"WEBP": Kind("a WebP image", "foreign"),
}
_FORM = {
    **dict.fromkeys((b"AIFF", b"AIFC"), Kind("an AIFF file", "audio")),
    **dict.fromkeys((b"8SVX", b"16SV"), Kind("an SVX file", "audio")),
}
_IRCAM = [bytes((0x64, 0xA3, machine, 0)) for machine in range(1, 5)]  # VAX, Sun, MIPS and NeXT
_JPEG_NAMES = (b"JFIF", b"Exif", b"Adob", b"http", b"ICC_")  # of a first segment
_JPEG_TABLES = (b"\xdb\x00C", b"\xdb\x00\x84")  # quantization tables of 67 or 132 bytes
_MPEG1_KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KBITS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)

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
    (0, b" paf", Kind("a PAF file", "audio")),
    (0, b"fap ", Kind("a PAF file", "audio")),
    (0, b"2BIT", Kind("an AVR file", "audio")),
    (0, b"PVF1\n", Kind("a PVF file", "audio")),
    (0, b"ALawSoundFile**", Kind("a WVE file", "audio")),
    (0, b"Extended Instrument:", Kind("an XI file", "audio")),
    (4, b"ftyp", Kind("an MP4 or HEIF file", "convertible")),
    (0, b"\x1aE\xdf\xa3", Kind("a Matroska or WebM file", "convertible")),
    (0, b"0&\xb2u\x8ef\xcf\x11", Kind("a WMA or WMV file", "convertible")),
    (0, b"#!AMR", Kind("an AMR file", "convertible")),
    (0, b"wvpk", Kind("a WavPack file", "convertible")),
    (0, b"MAC \x96\x0f", Kind("a Monkey's Audio file", "convertible")),
    (0, b"DSD \x1c\0\0\0", Kind("a DSD file", "convertible")),
    (0, b"TTA1", Kind("a True Audio file", "convertible")),
    (0, b"\x7f\xfe\x80\x01", Kind("a DTS stream", "convertible")),
    (0, b"FLV\x01", Kind("a Flash video", "convertible")),
    (0, b"\x89PNG", Kind("a PNG image", "foreign")),
    (0, b"GIF8", Kind("a GIF image", "foreign")),
    (0, b"II*\0", Kind("a TIFF image", "foreign")),
    (0, b"MM\0*", Kind("a TIFF image", "foreign")),
    (0, b"8BPS", Kind("a Photoshop image", "foreign")),
    (0, b"MThd", Kind("a MIDI file", "foreign")),
    (0, b"%PDF", Kind("a PDF document", "foreign")),
    (0, b"\x1f\x8b\x08", Kind("a gzip archive", "foreign")),
    (0, b"PK\x03\x04", Kind("a zip archive", "foreign")),
    (0, b"BZh", Kind("a bzip2 archive", "foreign")),
    (0, b"\xfd7zXZ\0", Kind("an xz archive", "foreign")),
    (0, b"(\xb5/\xfd", Kind("a zstd archive", "foreign")),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", "foreign")),
    (0, b"Rar!\x1a\x07", Kind("a rar archive", "foreign")),
    (257, b"ustar", Kind("a tar archive", "foreign")),
    (0, b"\x7fELF", Kind("an ELF program", "foreign")),
    (0, b"MZ\x90\0", Kind("a Windows program", "foreign")),
    (0, b"SQLite format", Kind("a SQLite database", "foreign")),
    *((0, magic, Kind("an IRCAM file", "audio")) for magic in (*_IRCAM, *(one[::-1] for one in _IRCAM))),
    (0, b"\x93NUMPY", Kind("a NumPy array", "foreign")),
    (0, b"\x89HDF\r\n", Kind("an HDF5 file", "foreign")),
]


def identify(pipe: Pipe) -> Kind | None:
    """What arrives through a pipe; None for what can only be samples without a header.

    Waits for 512 bytes, and for 4096 where those could be frames of MP3 or AAC; takes none of them.

    Raises:
        AudioError: where the pipe cannot be read.
    """
    start = pipe.peek(_START)
    if found := _by_signature(start):
        return found
    if start[:1] == b"\xff" and start[1:2] >= b"\xe0":
        frames = pipe.peek(_TWO_FRAMES)
        for kind, length in ((_MP3, _mpeg_frame_bytes(frames)), (_AAC, _adts_frame_bytes(frames))):
            if length and frames[length : length + 2] == frames[:2]:
                return kind
    return _TEXT if start and _is_text(start[:_START]) else None


def _by_signature(start: bytes) -> Kind | None:
    container, form = start[:4], start[8:12]
    if container in (b"RIFF", b"RF64", b"BW64"):
        return _RIFF.get(form, Kind(f"a RIFF file of another kind ({form!r})", "convertible"))
    if container == b"FORM" and form in _FORM:
        return _FORM[form]
    if start[:3] == b"\xff\xd8\xff" and (start[6:10] in _JPEG_NAMES or start[3:6] in _JPEG_TABLES):
        return Kind("a JPEG image", "foreign")
    if start[:2] == b"BM" and start[6:10] == bytes(4) and len(start) > 10:
        return Kind("a BMP image", "foreign")
    return next((kind for at, magic, kind in _SIGNATURES if start[at:].startswith(magic)), None)


def _mpeg_frame_bytes(frame: bytes) -> int:
    """Length of a frame of MPEG 1, 2 or 2.5, layer 3, by its header; 0 where it is none (ISO 11172-3)."""
    if len(frame) < 4 or frame[1] >> 1 & 3 != 1:
        return 0
    version, rate, row = frame[1] >> 3 & 3, frame[2] >> 2 & 3, frame[2] >> 4
    if version == 1 or rate == 3 or row in (0, 15):
        return 0
    kbits = (_MPEG1_KBITS if version == 3 else _MPEG2_KBITS)[row - 1]
    hz = (44_100, 48_000, 32_000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    return (144 if version == 3 else 72) * kbits * 1000 // hz + (frame[2] >> 1 & 1)


def _adts_frame_bytes(frame: bytes) -> int:
    """Length of a frame of AAC in ADTS, by its header; 0 where it is none (ISO 13818-7)."""
    if len(frame) < 7 or frame[1] & 0xF6 != 0xF0:
        return 0
    return (frame[3] & 3) << 11 | frame[4] << 3 | frame[5] >> 5


def _is_text(data: bytes) -> bool:
    """Whether bytes read as text: UTF-16 with its mark, UTF-8, or mostly ASCII as Latin-1 is.

    Two kinds of samples do, too: a constant, and 8-bit samples that stay negative. Neither moves like text.
    """
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return _is_utf16(data)
    steps = sum(abs(data[at] - data[at - 1]) > 1 for at in range(1, len(data)))
    if len(data) == _START and (len(set(data)) <= _FEW_VALUES or steps < len(data) / 8):
        return False
    if _decodes(data, "utf-8-sig"):
        return True
    controls = sum((byte < 0x20 and byte not in _TEXT_CONTROLS) or byte == 0x7F for byte in data)
    high = sum(byte >= 0x80 for byte in data)
    return not controls and high <= 0.15 * len(data)  # samples are full of control characters


def _is_utf16(data: bytes) -> bool:
    """With a mark at its start; some of every text is ASCII, and none is at the end of the code range."""
    if not _decodes(data, "utf-16"):
        return False
    units = codecs.getincrementaldecoder("utf-16")().decode(data)
    return max(units) < "\ufe00" and 5 * sum(unit.isascii() for unit in units) >= len(units)


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    # samples that are valid UTF-8 hold control characters
    return bool(text) and not any(
        unicodedata.category(char) == "Cc" and ord(char) not in _TEXT_CONTROLS for char in text
    )
