"""What a corpus's clips are like, each by itself: level, clipping, offset, channels that cancel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.audio.decode import AudioFile
from runtime.audio.level import NO_SIGNAL_DBFS, level_dbfs
from runtime.audio.samples import as_float, to_int16
from runtime.errors import TinysceneError
from train.data.corpus import Clip, Corpus
from train.data.near_duplicates import Int16, fingerprints

_FULL_SCALE = 32_767
_CANCELS_DB = 30.0  # by which the mean of the channels is quieter than they are; independent ones lose 3


@dataclass(frozen=True)
class FileFacts:
    """What only the file shows, before it is mixed down.

    Attributes:
        sample_rate: Hz; 0 where the clip has no file.
        cancels_db: level of the channels less that of their mean, dB; 0 for mono.
    """

    sample_rate: int = 0
    cancels_db: float = 0.0

    @property
    def cancels(self) -> bool:
        """Whether its channels cancel each other in the mean, as one with inverted polarity does."""
        return self.cancels_db >= _CANCELS_DB


@dataclass(frozen=True)
class ClipMeasurement:
    """One clip, read as training reads it, and its file.

    Attributes:
        problem: ``""``, or why it cannot be read.
        seconds: length.
        level_dbfs: RMS without the mean, dB of full scale.
        offset: the mean, as a share of full scale.
        clipped: share of samples at full scale.
        file: of the clip's file.
        digest: of the samples, to find duplicates.
        prints: `train.data.near_duplicates.fingerprints`; None where the clip is silent.
    """

    problem: str
    seconds: float = 0.0
    level_dbfs: float = -np.inf
    offset: float = 0.0
    clipped: float = 0.0
    file: FileFacts = FileFacts()
    digest: str = ""
    prints: npt.NDArray[np.floating[Any]] | None = None


def measure_clip(corpus: Corpus, clip: Clip, sample_rate: int) -> ClipMeasurement:
    """Read a clip at ``sample_rate`` Hz and measure it; what cannot be read is a problem, no error."""
    try:
        samples = read_int16(corpus, clip, sample_rate)
        path = corpus.path(clip)
        file = FileFacts() if path is None else measure_file(path)
    except TinysceneError as error:
        return ClipMeasurement(problem=str(error))
    wave = as_float(samples)
    level = level_dbfs(wave)
    return ClipMeasurement(
        problem="",
        seconds=len(samples) / sample_rate,
        level_dbfs=level,
        offset=float(wave.mean()),
        clipped=float((np.abs(samples.astype(np.int32)) >= _FULL_SCALE).mean()),
        file=file,
        digest=hashlib.sha1(samples.tobytes(), usedforsecurity=False).hexdigest(),
        prints=fingerprints(samples, sample_rate) if level >= NO_SIGNAL_DBFS else None,
    )


def read_int16(corpus: Corpus, clip: Clip, sample_rate: int) -> Int16:
    """A clip as a packed corpus has it."""
    return to_int16(as_float(corpus.read(clip, sample_rate)))


def measure_file(path: Path) -> FileFacts:
    """Measure an audio file that can be read, block after block.

    Raises:
        AudioError: where it cannot.
    """
    file, power, power_of_mean, frames = AudioFile(path), 0.0, 0.0, 0
    for block in file.blocks():
        power += float(np.square(block).mean(axis=1).sum())
        power_of_mean += float(np.square(block.mean(axis=1)).sum())
        frames += len(block)
    audible = file.channels > 1 and 10 * np.log10(max(power / frames, 1e-12)) >= NO_SIGNAL_DBFS
    cancels_db = 10 * np.log10(power / max(power_of_mean, 1e-9 * power)) if audible else 0.0
    return FileFacts(file.sample_rate, float(cancels_db))
