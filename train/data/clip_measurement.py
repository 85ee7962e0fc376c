"""What a corpus's clips are like, each by itself: level, clipping, offset, channels that cancel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from runtime.audio.window_grid import NO_SIGNAL_DBFS, level_dbfs
from runtime.errors import TinysceneError
from train.data.corpus import Clip, Corpus, FileCorpus
from train.data.near_duplicates import fingerprints

_FULL_SCALE = 32_767
_CANCELS_DB = 30.0  # by which the mean of the channels is quieter than they are; independent ones lose 3
_BLOCK = 2**18  # samples of a file that are looked at a time


@dataclass(frozen=True)
class FileFacts:
    """What only the file shows, before it is mixed down to int16.

    Attributes:
        sample_rate: Hz; 0 where the corpus has no files.
        peak: largest absolute sample, full scale is 1; above it in float files alone.
        cancels_db: level of the channels less that of their mean, dB; 0 for mono.
    """

    sample_rate: int = 0
    peak: float = 0.0
    cancels_db: float = 0.0

    @property
    def cancels(self) -> bool:
        """Whether its channels cancel each other in the mean: one is wired the wrong way round."""
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
        samples = corpus.read(clip, sample_rate)
        file = measure_file(corpus.path(clip)) if isinstance(corpus, FileCorpus) else FileFacts()
    except TinysceneError as error:
        return ClipMeasurement(problem=str(error))
    wave = samples.astype(np.float32) / 32768
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


def measure_file(path: Path) -> FileFacts:
    """Measure an audio file that has been read before, as libsndfile decodes it."""
    peak, power, power_of_mean, frames = 0.0, 0.0, 0.0, 0
    with soundfile.SoundFile(path) as file:
        for block in file.blocks(_BLOCK // file.channels, dtype="float32", always_2d=True):
            peak = max(peak, float(np.abs(block).max()))
            mean = block.mean(axis=1)
            power += float(np.square(block).mean(axis=1).sum())
            power_of_mean += float(np.square(mean).sum())
            frames += len(block)
        audible = frames and 10 * np.log10(max(power / frames, 1e-12)) >= NO_SIGNAL_DBFS
        cancels = 10 * np.log10(power / max(power_of_mean, 1e-9 * power)) if audible else 0.0
        return FileFacts(file.samplerate, peak, float(cancels) if file.channels > 1 else 0.0)
