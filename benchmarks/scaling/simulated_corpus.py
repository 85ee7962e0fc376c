"""A corpus of any number of clips that costs no disk: every clip is the same second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.data.corpus import Clip, Corpus, Samples, Split

CLASSES = 10


class SimulatedCorpus(Corpus):
    """``count`` clips of ten classes, all for training, ten of them from each recording as in TAU 2022.

    Args:
        count: number of clips.
    """

    labels, licence = tuple(f"class {number}" for number in range(CLASSES)), "made up"

    def __init__(self, count: int) -> None:
        self.count = count
        self._second = np.random.default_rng(0).integers(-3000, 3000, 32_000, dtype=np.int16)

    def clips(self, split: Split) -> Sequence[Clip]:
        """All of them are training clips."""
        return [
            Clip(
                f"audio/scene-city-{number // 10}-{number}-a.wav",
                (number // 10 % CLASSES,),
                f"{number // 10}",
            )
            for number in range(self.count if split == "train" else 0)
        ]

    def path(self, clip: Clip) -> Path:
        """There are no files."""
        return Path(clip.id)

    def read(self, clip: Clip, sample_rate: int) -> Samples:
        """The same array each time."""
        return self._second

    def describe(self) -> dict[str, Any]:
        """For the provenance."""
        return {"corpus": "simulated", "clips": self.count}
