"""Speech Commands v2 in its official layout: a folder per word, two lists, and background noise.

Warden, "Speech Commands: a dataset for limited-vocabulary speech recognition", arXiv 1804.03209. The
lists split by speaker, the first part of a file name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from runtime.errors import AudioError, DataError
from train.data.corpus import SPLITS, Clip, FileCorpus, Samples, Split, check_seed, read_audio
from train.data.tables import corpus_folder

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
SILENCE, UNKNOWN = "_silence_", "_unknown_"
_NOISE = "_background_noise_"
_LISTS: dict[Split, str] = {"val": "validation_list.txt", "test": "testing_list.txt"}
_SOURCE = "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
# Which part of each noise file a split may use. The official tools let all three use all of it: a leak.
_NOISE_PARTS: dict[Split, tuple[float, float]] = {"train": (0.0, 0.8), "val": (0.8, 0.9), "test": (0.9, 1.0)}


class SpeechCommands(FileCorpus):
    """Speech Commands v2: some words, the rest as ``_unknown_``, and ``_silence_``.

    Args:
        root: the folder that holds the words' folders and the lists; by default what the environment
            variable ``SPEECH_COMMANDS_DIR`` says.
        words: labels of their own; null takes every word and leaves ``_unknown_`` out.
        unknown_share: clips of other words, as a share of the clips of ``words`` (the paper's is 0.1).
        silence_share: one-second cuts of background noise, as a share of the same (the paper's is 0.1).
        seed: of which other words and which noise.
    """

    def __init__(
        self,
        root: str | None = None,
        words: Sequence[str] | None = COMMANDS,
        unknown_share: float = 0.1,
        silence_share: float = 0.1,
        seed: int = 0,
    ) -> None:
        self.root = corpus_folder(
            root, "SPEECH_COMMANDS_DIR", name="Speech Commands",
            holds="a folder per word, validation_list.txt and testing_list.txt", source=_SOURCE,
        )  # fmt: skip
        check_seed(seed)
        self.licence = f"Speech Commands v0.02: CC BY 4.0, Google, {_SOURCE}"
        self.words = tuple(sorted(self._files)) if words is None else tuple(words)
        absent = [word for word in self.words if word not in self._files]
        if absent or not self.words:
            raise DataError(
                f"{self.root} has no folder for the words {absent or 'of Speech Commands'}: choose from "
                f"{', '.join(sorted(self._files)) or 'none'}, or get the corpus from {_SOURCE}."
            )
        self.unknown_share = unknown_share if set(self._files) - set(self.words) else 0.0
        self.silence_share, self.seed = silence_share, seed
        extra = [(SILENCE, self.silence_share), (UNKNOWN, self.unknown_share)]
        self.labels = (*self.words, *(label for label, share in extra if share))

    def clips(self, split: Split) -> Sequence[Clip]:
        """Words in the order of their labels, then unknown words, then silence."""
        known = [self._clip(name) for word in self.words for name in self._of_split(word, split)]
        return [*known, *self._unknown(split, len(known)), *self._silence(split, len(known))]

    def path(self, clip: Clip) -> Path:
        """A word's file, or the noise file that a silence is cut from."""
        return self.root / clip.id.partition("@")[0]

    def read(self, clip: Clip, sample_rate: int) -> Samples:
        """Decode a word, or a second of noise."""
        start_s = clip.id.partition("@")[2]
        if not start_s:
            return super().read(clip, sample_rate)
        return read_audio(self.path(clip), sample_rate, start_s=float(start_s), seconds=1.0)

    def describe(self) -> dict[str, Any]:
        """Name, words and shares."""
        return {
            "corpus": "Speech Commands v0.02",
            "words": list(self.words),
            "unknown_share": self.unknown_share,
            "silence_share": self.silence_share,
            "seed": self.seed,
        }

    @cached_property
    def _files(self) -> dict[str, list[str]]:
        """Word to its files, as the lists write them: ``bed/0c40e715_nohash_0.wav``."""
        folders = sorted(p for p in self.root.iterdir() if p.is_dir() and not p.name.startswith((".", "_")))
        return {
            folder.name: [f"{folder.name}/{path.name}" for path in sorted(folder.glob("*.wav"))]
            for folder in folders
        }

    @cached_property
    def _split_of(self) -> dict[str, Split]:
        """The split of every file that a list names; the rest is for training."""
        listed: dict[str, Split] = {}
        for split, name in _LISTS.items():
            path = self.root / name
            if not path.is_file():
                raise DataError(
                    f"{self.root} lacks {name}, one of the official lists: get it from {_SOURCE}."
                )
            listed |= dict.fromkeys(path.read_text(encoding="utf-8").split(), split)
        return listed

    def _of_split(self, word: str, split: Split) -> list[str]:
        return [name for name in self._files[word] if self._split_of.get(name, "train") == split]

    def _clip(self, name: str) -> Clip:
        word, _, file = name.partition("/")
        label = word if word in self.words else UNKNOWN
        return Clip(id=name, targets=(self.labels.index(label),), group=file.partition("_")[0])

    def _unknown(self, split: Split, known: int) -> list[Clip]:
        """Some clips of the other words, drawn by seed."""
        others = [w for w in self._files if w not in self.words] if self.unknown_share else []
        names = [name for word in others for name in self._of_split(word, split)]
        count = min(round(self.unknown_share * known), len(names))
        drawn = self._rng(split, 0).permutation(len(names))[:count]
        return [self._clip(names[index]) for index in sorted(drawn)]

    def _silence(self, split: Split, known: int) -> list[Clip]:
        """Seconds of noise from this split's part of each file, spread over the files in turn."""
        files = sorted((self.root / _NOISE).glob("*.wav"))
        count = round(self.silence_share * known)
        if count and not files:
            raise DataError(
                f"{self.root} lacks {_NOISE}, which silence is cut from: get it from {_SOURCE}, or set "
                "data.corpus.silence_share to 0."
            )
        rng, low_high = self._rng(split, 1), _NOISE_PARTS[split]
        return [self._cut(files[index % len(files)], rng.uniform(), *low_high) for index in range(count)]

    def _cut(self, path: Path, place: float, low: float, high: float) -> Clip:
        """One second at a place (0 to 1) within a part of a noise file."""
        length_s = self._noise_s(path)
        slack_s = (high - low) * length_s - 1.0
        if slack_s < 0:
            raise DataError(
                f"{path} lasts {length_s:.1f} s and each split needs a second of its own: restore it."
            )
        return Clip(
            id=f"{_NOISE}/{path.name}@{low * length_s + place * slack_s:.4f}",
            targets=(self.labels.index(SILENCE),),
            group=f"{_NOISE}/{path.name}, {low:.0%} to {high:.0%}",
        )

    @staticmethod
    @lru_cache
    def _noise_s(path: Path) -> float:
        """Length of a noise file, seconds."""
        try:
            return float(soundfile.info(path).duration)
        except soundfile.LibsndfileError as error:
            raise AudioError(f"Cannot read {path} as audio: restore it from {_SOURCE}.") from error

    def _rng(self, split: Split, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, SPLITS.index(split), purpose))
