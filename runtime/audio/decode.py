"""Audio files of any length, decoded block by block by libsndfile."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from runtime.audio.converter import warn
from runtime.audio.samples import MAX_CHANNELS, RATES, Array, check_amplitude
from runtime.audio.unfinished import chunks, completed, ogg_breaks_off
from runtime.audio.wav_header import CONTAINERS, extent_of, has_low_24_bits
from runtime.errors import AudioError
from runtime.files import printable

_BLOCK_SAMPLES = 2**16  # over all channels: what is decoded at a time

_MISSING_S = 0.1  # from here on it is noted
_UNCOUNTED_S = 1.0  # the same; a recorder that is still writing may be half a second behind in its header
_NO_END = (
    "The file has no mark of its end, as a copy or a recording that was interrupted: the rest of it may be "
    "missing."
)
_HEADER_BYTES = 2**16  # of a WAV file, in which its format lies
_SYSTEM_ERROR = 2  # of libsndfile: the file was not looked at
_UTF16 = "MPEG_LAYER_I"  # the mark at the start of such texts looks like that obsolete format
_UNKNOWN_FRAMES = 2**62  # libsndfile's frame count where a FLAC header has none
_HEADERLESS = (".raw", ".pcm")

# Formats of libsndfile to the endings of their files. Left out: RAW, which has no header, and MAT4 and MAT5,
# whose .mat files hold anything.
_SUFFIXES = {
    "AIFF": (".aiff", ".aif", ".aifc"), "AU": (".au", ".snd"), "AVR": (".avr",), "CAF": (".caf",),
    "FLAC": (".flac",), "HTK": (".htk",), "IRCAM": (".sf",), "MP3": (".mp3",), "MPC2K": (".mpc",),
    "NIST": (".nist", ".sph"), "OGG": (".ogg", ".oga", ".opus"), "PAF": (".paf",), "PVF": (".pvf",),
    "RF64": (".rf64",), "SD2": (".sd2",), "SDS": (".sds",), "SVX": (".svx", ".8svx", ".16svx"),
    "VOC": (".voc",), "W64": (".w64",), "WAV": (".wav", ".wave"), "WVE": (".wve",), "XI": (".xi",),
}  # fmt: skip

AUDIO_SUFFIXES: frozenset[str]  # lower case, of the files that this libsndfile reads, such as ".wav"


def __getattr__(name: str) -> Any:  # lazy: a microphone does without libsndfile
    if name == "AUDIO_SUFFIXES":
        return _audio_suffixes()
    raise AttributeError(f"module 'runtime.audio.decode' has no attribute {name!r}")


@lru_cache(maxsize=1)
def _audio_suffixes() -> frozenset[str]:
    import soundfile

    return frozenset(s for name in soundfile.available_formats() for s in _SUFFIXES.get(name, ()))


class AudioFile:
    """An audio file that libsndfile reads: wav, flac, ogg, opus, mp3 and more, see `AUDIO_SUFFIXES`.

    A header that was never completed, because the recorder was killed, is read to the end of the file.

    Args:
        path: of the file; its name need not be UTF-8.
        on_note: called at its end with what is missing of it without being refused, a sentence. An
            `AudioWarning` by default.

    Attributes:
        name: the path for messages, what is not UTF-8 as backslash escapes.
        sample_rate: Hz.
        channels: in the file.

    Raises:
        AudioError: where the file is missing, empty, or not audio.

    Example:
        >>> file = AudioFile(wav_path)
        >>> file.sample_rate, file.channels
        (32000, 1)
        >>> sum(len(block) for block in file.blocks())
        64000
    """

    def __init__(self, path: str | Path, on_note: Callable[[str], None] = warn) -> None:
        self.path, self.name, self._on_note = Path(path), printable(path), on_note
        self._check_path()
        self._patched: io.RawIOBase | None = None  # soundfile closes what it opened itself
        self._file = self._open()
        self.sample_rate, self.channels = self._file.samplerate, self._file.channels
        self._low_24_bits = self._file.subtype == "PCM_32" and self._has_low_24_bits()
        if not 1 <= self.channels <= MAX_CHANNELS or self.sample_rate not in RATES:
            self.close()
            raise AudioError(
                f"{self.name} has {self.channels} channels at {self.sample_rate} Hz in its header: save it "
                f"with 1 to {MAX_CHANNELS} channels at {RATES[0]} to {RATES[-1]} Hz."
            )

    def _check_path(self) -> None:
        try:
            is_folder = self.path.is_dir()
        except OSError as error:  # as for a name that is too long
            raise AudioError(f"{self.name} cannot be opened ({error.strerror}): check its name.") from error
        if is_folder:
            raise AudioError(f"{self.name} is a folder: name the audio files in it.")
        if not self.path.exists():
            raise AudioError(f"There is no audio file {self.name}: check its name.")
        if not self.path.is_file():
            raise AudioError(f"{self.name} is not a regular file: pipe raw samples into `listen -` instead.")
        if not os.access(self.path, os.R_OK):
            raise AudioError(f"{self.name} may not be read: change its permissions.")
        if self.path.stat().st_size == 0:
            raise AudioError(f"{self.name} is empty (0 bytes): record or copy it again.")

    def blocks(self, start_s: float = 0.0, seconds: float | None = None) -> Iterator[Array]:
        """Decode block after block, float32 [samples, channels] in about [-1, 1], and close the file.

        Args:
            start_s: where to begin, seconds.
            seconds: how much to read; None reads to the end.

        Raises:
            AudioError: where there are no samples, the file is damaged further in, or its samples are NaN,
                infinite or far above full scale.
        """
        done, left = 0, None if seconds is None else round(seconds * self.sample_rate)
        try:
            self._seek(round(start_s * self.sample_rate))
            while len(block := self._decode(done, left)):
                done += len(block)
                left = None if left is None else left - len(block)
                yield block
            if done and left != 0:
                self._note_loss(round(start_s * self.sample_rate) + done)
        finally:
            self.close()
        if not done:
            raise AudioError(f"{self.name} holds no samples: record it again.")

    def _note_loss(self, end: int) -> None:
        """Note what is missing of a file that was decoded up to this frame, its last one."""
        # a header that was completed here says what is there; the header of MP3 is an estimate
        if self._patched is not None or self._file.format == "MP3" or (length_s := self.header_s) is None:
            return
        if (lost_s := length_s - end / self.sample_rate) >= _MISSING_S:
            self._on_note(
                f"The file is damaged: {lost_s:.1f} s of the {length_s:.1f} s in its header cannot be "
                "decoded, and times behind the damage may be too early by as much; copy it again."
            )
            return
        with self._bytes() as file:
            if self._file.format == "OGG" and ogg_breaks_off(file):
                self._on_note(_NO_END)
            extent = extent_of(file)
        if extent is None or not extent.present:
            return
        missing_s, uncounted_s = (count * length_s / extent.present for count in extent[1:])
        if missing_s >= _MISSING_S:
            self._on_note(
                f"The file ends {missing_s:.1f} s before the length that its header states, as a copy or a "
                "recording that was interrupted: copy it again if the rest exists."
            )
        if uncounted_s >= _UNCOUNTED_S:
            self._on_note(
                f"The header leaves out {uncounted_s:.1f} s at the end of the file: correct it, as with `sox "
                "--ignore-length`, to have them classified."
            )

    @property
    def header_s(self) -> float | None:
        """Length in seconds as the header has it, which may be wrong; None where it has none."""
        frames = int(self._file.frames)
        return frames / self.sample_rate if 0 < frames < _UNKNOWN_FRAMES else None

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._patched is not None:
            self._patched.close()

    def _open(self) -> Any:
        import soundfile

        opened, problem = None, None
        for source in (self._source, self._completed):
            try:
                if (given := source()) is None:
                    continue
                opened = soundfile.SoundFile(given)
            except (soundfile.SoundFileError, RuntimeError, OSError) as error:
                problem = problem or error
                continue
            if 0 < opened.frames < _UNKNOWN_FRAMES:
                break
        if opened is not None and opened.subtype != _UTF16:
            if opened.subtype.startswith("DWVW"):  # soundfile seeks after every read, which this codec cannot
                opened.seekable = lambda: False
            return opened
        if self.path.suffix.lower() in _HEADERLESS:
            raise AudioError(
                f"{self.name} has no header that says its rate and format: pipe it into `listen -` with "
                "--format, --rate and --channels."
            ) from problem
        if isinstance(problem, OSError) or getattr(problem, "code", None) == _SYSTEM_ERROR:
            raise AudioError(
                f"{self.name} cannot be opened ({getattr(problem, 'error_string', problem)}): copy it to "
                "another place."
            ) from problem
        raise AudioError(
            f"{self.name} is not audio that can be read: give a wav, flac, ogg or mp3 file."
        ) from problem

    def _source(self) -> str | bytes | int | BinaryIO:
        """What soundfile opens the file by."""
        if self.path.suffix.lower() == ".raw":  # for its name soundfile asks for a rate, whatever it holds
            return os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        # bytes, because soundfile encodes a str strictly; on Windows it takes a str
        return str(self.path) if os.name == "nt" else os.fsencode(self.path)

    def _completed(self) -> io.RawIOBase | None:
        self._patched = completed(self._bytes())
        return self._patched

    def _has_low_24_bits(self) -> bool:
        """Whether this is a WAV file whose header says ALSA's S24_LE."""
        with self._bytes() as file:
            head = file.read(12)
            if head[:4] not in CONTAINERS or head[8:] != b"WAVE":
                return False
            for name, place, length in chunks(file, 12, _HEADER_BYTES, "<4sI"):
                if name == b"fmt " and length >= 16:
                    file.seek(place)
                    return has_low_24_bits(file.read(16))
        return False

    def _bytes(self) -> BinaryIO:
        """The file as it lies there."""
        return self.path.open("rb")

    def _seek(self, frame: int) -> None:
        if frame:
            self._file.seek(min(frame, self._file.frames))

    def _decode(self, done: int, left: int | None) -> Array:
        count = _BLOCK_SAMPLES // self.channels
        try:
            block = self._read(count if left is None else min(count, left))
        except (OSError, RuntimeError) as error:  # soundfile's errors are RuntimeErrors
            raise AudioError(f"{self.name} is damaged after {done} samples: copy it again.") from error
        check_amplitude(block, self.name)
        return block

    def _read(self, count: int) -> Array:
        # as integers: libsndfile 1.2 mixes samples up when it converts those of 3, 5, 6 or 7 channels
        is_paf_24 = self._file.format == "PAF" and self._file.subtype == "PCM_24"
        as_integers = is_paf_24 or self._low_24_bits
        samples = self._file.read(count, dtype="int32" if as_integers else "float32", always_2d=True)
        if self._low_24_bits:  # libsndfile takes them for the upper ones
            samples <<= 8
        block: Array = samples.astype(np.float32) / np.float32(2**31) if as_integers else samples
        return block


class AudioBytes(AudioFile):
    """The bytes of an audio file that lies in memory.

    Args:
        data: the whole file.
        name: for messages.
        on_note: as of `AudioFile`.

    Raises:
        AudioError: as `AudioFile`.

    Example:
        >>> AudioBytes(wav_path.read_bytes(), "a.wav").sample_rate
        32000
    """

    def __init__(self, data: bytes, name: str, on_note: Callable[[str], None] = warn) -> None:
        self._data = data
        super().__init__(name, on_note)

    def _check_path(self) -> None:
        if not self._data:
            raise AudioError(f"{self.name} is empty (0 bytes): record or copy it again.")

    def _source(self) -> BinaryIO:
        return self._bytes()

    def _bytes(self) -> BinaryIO:
        return io.BytesIO(self._data)
