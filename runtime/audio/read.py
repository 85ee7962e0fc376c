"""A whole audio file as mono samples at one rate: what training, calibration and data checks read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.audio.converter import Converter
from runtime.audio.decode import AudioFile
from runtime.audio.samples import Array
from runtime.errors import AudioError


@dataclass(frozen=True)
class Recording:
    """An audio file, read.

    Attributes:
        samples: float32 [samples], mono at the rate asked for; the bits that a stream frames.
        file_rate: sample rate of the file, Hz.
        file_channels: in the file.
        notes: what is wrong with it and not refused, see `Converter` and `AudioFile`.
    """

    samples: Array
    file_rate: int
    file_channels: int
    notes: tuple[str, ...]


def read_recording(
    path: str | Path,
    sample_rate: int,
    *,
    channel: int | None = None,
    start_s: float = 0.0,
    seconds: float | None = None,
) -> Recording:
    """Decode, mix down and resample an audio file, as a stream does.

    Args:
        path: the file.
        sample_rate: Hz.
        channel: which channel to take; the mean of all where None.
        start_s: where to begin, seconds.
        seconds: how much to read; None reads to the end.

    Raises:
        AudioError: where the file is missing, damaged, empty or not audio; it names the path.
        ConfigError: where the rate or the channel makes no sense.
    """
    notes: list[str] = []
    file = AudioFile(path, notes.append)
    converter = Converter(file.sample_rate, sample_rate, channel, notes.append)
    parts = [converter.push(block) for block in file.blocks(start_s, seconds)]
    samples = np.concatenate([*parts, converter.finish()])
    if not len(samples):
        raise AudioError(f"{file.name} holds no samples: record it again.")
    return Recording(samples, file.sample_rate, file.channels, tuple(notes))
