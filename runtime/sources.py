"""Where audio comes from: files of any length, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from runtime.errors import AudioError
from runtime.frontend import Array

_BLOCK_SAMPLES = 2**16  # over all channels: what is decoded at a time
_MAX_CHANNELS = 64
_RATES = range(1_000, 768_001)  # Hz; a header beyond them is damaged


@dataclass(frozen=True)
class AudioFile:
    """An audio file that libsndfile reads: wav, flac, ogg, mp3 and more.

    Attributes:
        path: where it lies.
        sample_rate: Hz.
        channels: how many.
    """

    path: Path
    sample_rate: int
    channels: int

    @classmethod
    def open(cls, path: str | Path) -> AudioFile:
        """Read the header.

        Raises:
            AudioError: where the file is missing, empty, or not audio.
        """
        path = Path(path)
        with _opened(path) as file:
            if not 1 <= file.channels <= _MAX_CHANNELS or file.samplerate not in _RATES:
                raise AudioError(
                    f"{path} claims {file.channels} channels at {file.samplerate} Hz: its header is damaged; "
                    "save it again as wav or flac."
                )
            return cls(path, file.samplerate, file.channels)

    def blocks(self) -> Iterator[Array]:
        """Decode block after block: float32 [samples, channels] in [-1, 1].

        Raises:
            AudioError: where the file holds no samples, is damaged further in, or holds NaN.
        """
        heard = 0
        with _opened(self.path) as file:
            while True:
                try:
                    block = file.read(_BLOCK_SAMPLES // self.channels, dtype="float32", always_2d=True)
                except (soundfile.SoundFileError, RuntimeError) as error:
                    raise AudioError(
                        f"{self.path} is damaged after {heard} samples: copy it again."
                    ) from error
                if not len(block):
                    break
                if not np.isfinite(block).all():
                    raise AudioError(
                        f"{self.path} holds samples that are NaN or infinite: repair or re-record it."
                    )
                heard += len(block)
                yield block
        if not heard:
            raise AudioError(f"{self.path} holds no samples: record it again.")


def _opened(path: Path) -> soundfile.SoundFile:
    if not path.is_file():
        raise AudioError(f"There is no audio file {path}: check its name.")
    if path.stat().st_size == 0:
        raise AudioError(f"{path} is empty (0 bytes): record or copy it again.")
    try:
        return soundfile.SoundFile(path)
    except (soundfile.SoundFileError, RuntimeError, OSError) as error:
        raise AudioError(
            f"{path} is not audio that can be read: give a wav, flac, ogg or mp3 file."
        ) from error
