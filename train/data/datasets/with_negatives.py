"""A corpus with negatives: sounds of none of its classes, which a model must not take for one of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import DataError
from train.data.audio_files import find_audio
from train.data.corpus import SPLITS, Clip, Corpus, Samples, Split, read_audio
from train.data.datasets.textures import synthetic_texture

# where a clip comes from, in its field ``device``
_FILE, _NOISE, _TEXTURE = "negative", "synthetic noise", "synthetic texture"
_NOISE_S, _LOWEST_HZ = 10, 20.0
_NOISE_STREAM = 5_000_000  # keeps these random numbers apart from those of the epochs


class WithNegatives(Corpus):
    """A corpus whose training split also holds the audio files of some folders, as clips without a class.

    A model of one label learns equal probabilities for all classes from a negative (outlier exposure,
    Hendrycks et al., ICLR 2019), so that no class reaches its threshold and the prediction is `unknown`; a
    model of several labels learns that none of them is there.

    Args:
        corpus: the classes.
        folders: of the negatives, however deep their files lie. Each file is a recording of its own.
        exclude: patterns of the names of files to leave out, such as ``*rain*``: sounds that may be of a
            class.
        noise: number of clips of synthetic noise to add: white to brown noise, and mains hum.
        textures: number of clips of `textures.synthetic_texture` to add, some of which resemble a class: for
            distillation, where a teacher says which.
        licence: of the negatives.

    Raises:
        DataError: where two folders have one name, a folder is missing or empty, or a negative has the name
            of a clip of the corpus; the folders are read with the first clips.
    """

    def __init__(
        self,
        corpus: Corpus,
        folders: Sequence[str],
        exclude: Sequence[str] = (),
        noise: int = 0,
        textures: int = 0,
        licence: str = "not stated",
    ) -> None:
        self.corpus, self.exclude, self.noise, self.textures = corpus, tuple(exclude), noise, textures
        self.folders = {Path(folder).name: Path(folder) for folder in folders}
        if len(self.folders) < len(folders):
            raise DataError("Two folders of negatives have the same name: rename one.")
        self.labels, self.task, self.device_groups = corpus.labels, corpus.task, corpus.device_groups
        self.licence = f"{corpus.licence}; negatives: {licence}"

    def clips(self, split: Split) -> Sequence[Clip]:
        """The clips of the corpus; after those of the training split the negatives."""
        return [*self.corpus.clips(split), *(self._negatives if split == "train" else ())]

    def read(self, clip: Clip, sample_rate: int) -> Samples:
        """A clip of the corpus, or the file of a negative."""
        if clip.device == _NOISE:
            return synthetic_noise(_number(clip), sample_rate)
        if clip.device == _TEXTURE:
            return synthetic_texture(_number(clip), sample_rate)
        path = self.path(clip)
        if clip.device != _FILE or path is None:
            return self.corpus.read(clip, sample_rate)
        return read_audio(path, sample_rate)

    def path(self, clip: Clip) -> Path | None:
        """Where a clip of the corpus or a negative lies; None of a synthetic one."""
        if clip.device in (_NOISE, _TEXTURE):
            return None
        if clip.device != _FILE:
            return self.corpus.path(clip)
        folder, _, name = clip.id.partition("/")
        return self.folders[folder] / name

    def describe(self) -> dict[str, Any]:
        """The corpus, and which negatives were added."""
        return {
            **self.corpus.describe(),
            "negatives": {
                "folders": sorted(self.folders),
                "exclude": list(self.exclude),
                "noise": self.noise,
                "textures": self.textures,
            },
        }

    @cached_property
    def _negatives(self) -> list[Clip]:
        found: list[str] = []
        of_corpus = {
            name for split in SPLITS for clip in self.corpus.clips(split) for name in (clip.id, clip.group)
        }
        for label, folder in self.folders.items():
            audio = find_audio(folder, folder, "data.corpus.folders").names
            names = [f"{label}/{name}" for name in audio if not self._excluded(name)]
            if not names:
                raise DataError(f"{folder} holds no negative: it has no audio file that is not excluded.")
            if twice := next((name for name in names if name in of_corpus), None):
                raise DataError(
                    f"{twice} is a clip of the corpus and of the negatives in {folder}: give that folder "
                    "another name."
                )
            found += names
        noise = [f"{_NOISE}/{number}" for number in range(self.noise)]
        textures = [f"{_TEXTURE}/{number}" for number in range(self.textures)]
        return [
            Clip(id=name, targets=(), group=name, device=device)
            for names, device in ((found, _FILE), (noise, _NOISE), (textures, _TEXTURE))
            for name in names
        ]

    def _excluded(self, name: str) -> bool:
        return any(fnmatch.fnmatch(name, pattern) for pattern in self.exclude)


def _number(clip: Clip) -> int:
    return int(clip.id.rpartition("/")[2])


def synthetic_noise(number: int, sample_rate: int) -> Samples:
    """Noise without end or events, as fans, amplifiers and mains make it.

    Args:
        number: decides its colour, from white to brown, and whether it hums. One in four does.
        sample_rate: Hz.

    Returns:
        float32 [10 s], RMS 0.1.
    """
    random = np.random.default_rng((_NOISE_STREAM, number))
    samples = _NOISE_S * sample_rate
    frequency = np.fft.rfftfreq(samples, 1 / sample_rate)
    slope = random.uniform(0, 2)  # of the power spectrum: 0 white, 1 pink, 2 brown
    spectrum = np.fft.rfft(random.standard_normal(samples))
    noise = np.fft.irfft(spectrum * np.maximum(frequency, _LOWEST_HZ) ** (-slope / 2), samples)
    noise /= np.sqrt(np.mean(noise**2))
    if number % 4 == 0:
        time = np.arange(samples) / sample_rate
        mains = float(random.choice((50.0, 60.0)))
        harmonics = range(1, 1 + int(random.integers(3, 20)))
        hum = sum(np.sin(2 * np.pi * (mains * n * time + random.random())) / n for n in harmonics)
        noise += hum * random.uniform(1, 10)
    return np.asarray(noise * (0.1 / np.sqrt(np.mean(noise**2))), np.float32)
