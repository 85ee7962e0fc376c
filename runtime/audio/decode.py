"""Audio files of any length, decoded block by block by libsndfile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runtime.audio.log_mel import Array, is_sound
from runtime.errors import AudioError
from runtime.streaming.framing import RATES

_BLOCK_SAMPLES = 2**16  # over all channels: what is decoded at a time
MAX_CHANNELS = 64


class AudioFile:
    """An audio file that libsndfile reads: wav, flac, ogg, mp3 and more.

    Args:
        path: where it lies.

    Raises:
        AudioError: where the file is missing, empty, or not audio.

    Example:
        >>> file = AudioFile(wav_path)
        >>> file.sample_rate, file.channels
        (32000, 1)
        >>> sum(len(block) for block in file.blocks())
        64000
    """

    def __init__(self, path: str | Path) -> None:
        import soundfile  # only here: a microphone does without it

        self.path = Path(path)
        self.name = str(path)
        if self.path.is_dir():
            raise AudioError(f"{path} is a folder: name the audio files in it.")
        if not self.path.exists():
            raise AudioError(f"There is no audio file {path}: check its name.")
        if not self.path.is_file():
            raise AudioError(f"{path} is no regular file: pipe raw samples into `listen -` instead.")
        if self.path.stat().st_size == 0:
            raise AudioError(f"{path} is empty (0 bytes): record or copy it again.")
        try:
            self._file = soundfile.SoundFile(path)
        except (soundfile.SoundFileError, RuntimeError, OSError) as error:
            raise AudioError(
                f"{path} is not audio that can be read: give a wav, flac, ogg or mp3 file."
            ) from error
        self.sample_rate, self.channels = self._file.samplerate, self._file.channels
        if not 1 <= self.channels <= MAX_CHANNELS or self.sample_rate not in RATES:
            self.close()
            raise AudioError(
                f"{path} claims {self.channels} channels at {self.sample_rate} Hz: its header is damaged; "
                "save it again as wav or flac."
            )

    def blocks(self) -> Iterator[Array]:
        """Decode block after block, float32 [samples, channels] in [-1, 1], and close the file.

        Raises:
            AudioError: where the file holds no samples, is damaged further in, or holds NaN.
        """
        heard = 0
        try:
            while len(block := self._decode(heard)):
                heard += len(block)
                yield block
        finally:
            self.close()
        if not heard:
            raise AudioError(f"{self.name} holds no samples: record it again.")

    def _decode(self, heard: int) -> Array:
        try:
            block: Array = self._file.read(_BLOCK_SAMPLES // self.channels, dtype="float32", always_2d=True)
        except (OSError, RuntimeError) as error:  # soundfile's errors are RuntimeErrors
            raise AudioError(f"{self.name} is damaged after {heard} samples: copy it again.") from error
        if not is_sound(block):
            raise AudioError(
                f"{self.name} holds samples that are NaN, infinite or beyond all measure: repair or "
                "re-record it."
            )
        return block

    def close(self) -> None:
        """Close the file."""
        self._file.close()
