"""WAV as it arrives through a pipe: RIFF, RF64 and BW64 parsed without seeking, in any chunking.

Programs that record into a pipe (arecord, sox, ffmpeg) cannot know the length when they write the header.
They write 0, 0xFFFFFFFF or about 2 GB instead; such a stream is read to its end. Sources: Microsoft's
"Multimedia Programming Interface and Data Specifications 1.0", EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from runtime.audio.samples import MAX_CHANNELS, RATES
from runtime.audio.wav_header import CONTAINERS, PCM, PLACEHOLDER, has_low_24_bits
from runtime.devices.sample_format import FORMATS, SampleFormat
from runtime.errors import AudioError

_UNTIL_END = 1 << 62  # bytes
_MAX_HEADER_CHUNK = 4096  # of `fmt ` and `ds64`, which have tens of bytes
_FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 3, 6, 7, 0xFFFE
_INTEGERS = {1: "u8", 2: "s16", 3: "s24", 4: "s32"}  # by the bytes of a container
_CODECS = {2: "Microsoft ADPCM", 0x11: "IMA ADPCM", 0x31: "GSM 6.10", 0x50: "MPEG", 0x55: "MP3"}


@dataclass(frozen=True)
class WavFormat:
    """The content of the ``fmt `` chunk of a WAV file.

    Attributes:
        sample_rate: Hz.
        channels: samples a frame, interleaved.
        sample_format: of one sample; None where the codec is not PCM.
        codec: its name.
    """

    sample_rate: int
    channels: int
    sample_format: SampleFormat | None
    codec: str

    @classmethod
    def parse(cls, body: bytes) -> WavFormat:
        """Read the body of a ``fmt `` chunk.

        Raises:
            AudioError: where it describes no audio.
        """
        if len(body) < 16:
            raise AudioError(
                f"The WAV header on stdin has a 'fmt ' chunk of {len(body)} bytes: it is damaged."
            )
        tag, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", body)
        if tag == _EXTENSIBLE and len(body) >= 26:
            tag = int.from_bytes(body[24:26], "little")  # the sub-format's GUID begins with the tag
        if not 1 <= channels <= MAX_CHANNELS or rate not in RATES:
            raise AudioError(
                f"The WAV header on stdin claims {channels} channels at {rate} Hz: it is damaged."
            )
        # samples of 12 or 20 bits lie left-justified in containers of whole bytes
        width = frame_bytes // channels if frame_bytes % channels == 0 else 0
        width = width if 8 * width >= bits else (bits + 7) // 8
        name = {_FLOAT: {4: "f32", 8: "f64"}.get(width), _ALAW: "alaw", _MULAW: "mulaw"}.get(tag)
        if tag == PCM:
            name = "s24_32" if has_low_24_bits(body) else _INTEGERS.get(width)
        codec = name or _CODECS.get(tag, f"codec {tag:#x} with {bits} bits")
        return cls(rate, channels, FORMATS[name] if name else None, codec)


class WavReader:
    """Parses a WAV stream: bytes in, bytes of its samples out.

    Chunks other than ``fmt `` and ``data`` are skipped, what follows the samples too. Another WAV file right
    behind the first one (`cat a.wav b.wav`, or arecord after 2 GB) is read on if its format is the same.

    Args:
        placeholder: a stated size from here on means that the size was not known, bytes.

    Attributes:
        format: of the samples; None until the header has arrived.
        in_data: whether the header has ended and samples follow.

    Example:
        >>> reader = WavReader()
        >>> header = wav_path.read_bytes()[:44]
        >>> reader.feed(header[:30]), reader.feed(header[30:] + b"0011")
        (b'', b'0011')
        >>> reader.format.sample_rate
        32000
    """

    def __init__(self, placeholder: int = PLACEHOLDER) -> None:
        self._placeholder = placeholder
        self.format: WavFormat | None = None
        self.in_data = False
        self._pending = bytearray()
        self._position = 0  # bytes since the start of this RIFF
        self._riff_bytes = 0  # of it, by its header
        self._long_size: int | None = None  # of the samples, by RF64's ds64 chunk
        self._skip = 0  # bytes until the next chunk
        self._samples = 0  # bytes of samples that are due
        self._guessed = False  # whether their size was a placeholder

    def feed(self, data: bytes) -> bytes:
        """Take in the next bytes; the samples among them.

        Raises:
            AudioError: where the stream is no WAV, or damaged.
        """
        self._pending += data
        samples = bytearray()
        while self._pending and self._step(samples):
            pass
        return bytes(samples)

    def _step(self, samples: bytearray) -> bool:
        """Move on by one piece; False where more bytes are needed for it."""
        if self._samples:
            taken = self._take(min(self._samples, len(self._pending)))
            self._samples -= len(taken)
            samples += taken
            return True
        if self._skip:
            self._skip -= len(self._take(min(self._skip, len(self._pending))))
            return True
        return self._chunk()

    def _take(self, count: int) -> bytes:
        taken = bytes(self._pending[:count])
        del self._pending[:count]
        self._position += count
        return taken

    def _chunk(self) -> bool:
        """Enter the next chunk; False where its header has not arrived."""
        name = bytes(self._pending[:4])
        if len(self._pending) < (12 if name in CONTAINERS else 8):
            return False
        size = int.from_bytes(self._pending[4:8], "little")
        if name in CONTAINERS:
            return self._begin_file()
        if name == b"data":
            self._begin_data(size)
        elif self._guessed:  # after a size that was a placeholder: these are samples
            self._samples = _UNTIL_END
        elif name in (b"fmt ", b"ds64"):
            return self._header_chunk(name, size)
        elif not (name.isascii() and name.decode().isprintable()):
            self._leave(name)
        else:
            self._take(8)
            self._skip = size + size % 2
        return True

    def _begin_file(self) -> bool:
        container = bytes(self._pending[:12])
        if container[8:] != b"WAVE":
            raise AudioError(
                f"stdin goes on with a RIFF file that is no WAV ({container[8:]!r}): pipe WAV only."
            )
        self._take(12)
        self._position, self._long_size, self._guessed = 12, None, False
        self._riff_bytes = int.from_bytes(container[4:8], "little") + 8
        return True

    def _header_chunk(self, name: bytes, size: int) -> bool:
        if size > _MAX_HEADER_CHUNK:
            raise AudioError(
                f"The WAV header on stdin has a '{name.decode()}' chunk of {size} bytes: it is damaged."
            )
        if len(self._pending) < 8 + size:
            return False
        body = self._take(8 + size)[8:]
        self._skip = size % 2
        if name == b"ds64":
            self._long_size = int.from_bytes(body[8:16], "little")
            return True
        found = WavFormat.parse(body)
        if self.format not in (None, found):
            raise AudioError("stdin goes on with a WAV file of another format: pipe files of one format.")
        self.format = found
        return True

    def _begin_data(self, size: int) -> None:
        if self.format is None:
            raise AudioError("The WAV header on stdin has no 'fmt ' chunk before its samples: it is damaged.")
        self._take(8)
        self.in_data = True
        if size == 0xFFFFFFFF and self._long_size:
            size = self._long_size
        elif size >= 0xFFFFFF00 or (size == 0 and not self._position < self._riff_bytes < self._placeholder):
            self._samples = (
                _UNTIL_END  # it was never finished: no other chunk follows within its stated length
            )
            return
        elif size >= self._placeholder:
            self._samples, self._guessed = size, True
            return
        # a frame that is cut off at the end must not shift the channels of what follows
        self._samples = size - size % self._frame_bytes
        self._skip = size - self._samples + size % 2

    @property
    def _frame_bytes(self) -> int:
        assert self.format is not None
        width = self.format.sample_format.width if self.format.sample_format else 1
        return self.format.channels * width

    def _leave(self, name: bytes) -> None:
        """What is no chunk: damage before the samples, and nothing to read after them."""
        if not self.in_data:
            raise AudioError(
                f"The WAV header on stdin holds {name!r} where a chunk should begin: it is damaged."
            )
        self._skip = _UNTIL_END
