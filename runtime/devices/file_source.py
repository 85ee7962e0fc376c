"""An audio file as a live source."""

from __future__ import annotations

import time
from pathlib import Path

from runtime.audio.decode import AudioFile
from runtime.devices.source import Chunk


class FileSource(AudioFile):
    """An audio file that is polled block by block; never late.

    Args:
        path: where it lies.

    Raises:
        AudioError: see `AudioFile`.

    Example:
        >>> len(FileSource(wav_path).poll().samples)
        64000
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._blocks = self.blocks()

    def poll(self) -> Chunk:
        """The next block, see `Source.poll`."""
        block = next(self._blocks, None)
        if block is None:
            raise EOFError
        return Chunk(block, time.monotonic())
