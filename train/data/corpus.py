"""A corpus: labelled clips in three splits that share no recording."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from runtime.audio.read import read_recording
from runtime.audio.samples import as_float, to_int16
from runtime.errors import AudioWarning, DataError
from runtime.spec import Task

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Samples = npt.NDArray[np.int16] | npt.NDArray[np.float32]  # `runtime.audio.samples.as_float` scales both


@dataclass(frozen=True)
class Clip:
    """One labelled recording.

    Attributes:
        id: unique within the corpus and stable: a file name, never a position.
        targets: indices of its labels: one of a scene, any number where sounds overlap (multi-label), none
            of a negative; None where nobody has listened to it yet.
        group: the recording it was cut from; a group never stands on both sides of a split.
        device: what it was recorded with, "" where the corpus does not say.
        city: where, "" where the corpus does not say.
    """

    id: str
    targets: tuple[int, ...] | None
    group: str
    device: str = ""
    city: str = ""

    @property
    def target(self) -> int:
        """Index of its first label; -1 where it has none."""
        return self.targets[0] if self.targets else -1


class Corpus(ABC):
    """A corpus in its official layout; one file in this folder each.

    Attributes:
        labels: class names in the order of the targets.
        task: whether a clip has one label or any number of them.
        licence: of the audio, with its authors; goes into every model's provenance.
        device_groups: name of a group (``real``, ``seen``, ``unseen``) to its devices; reports average over
            them.
    """

    labels: tuple[str, ...]
    task: Task = "single_label"
    licence: str
    device_groups: Mapping[str, Sequence[str]] = {}

    @abstractmethod
    def clips(self, split: Split) -> Sequence[Clip]:
        """The clips of a split, in a stable order. Raises DataError where files are missing."""

    @abstractmethod
    def read(self, clip: Clip, sample_rate: int) -> Samples:
        """A clip's samples, mono at ``sample_rate`` Hz. Raises AudioError naming the clip."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Name, split and what else makes the data the same again, as JSON values."""

    def path(self, clip: Clip) -> Path | None:
        """Where a clip's file lies; None where the clip has none of its own."""
        return None

    def splits(self) -> Mapping[Split, Sequence[Clip]]:
        """All three splits, after making sure that they do not leak.

        Raises:
            DataError: where a clip or a recording stands in two splits; it names them.
        """
        clips = {split: self.clips(split) for split in SPLITS}
        if leaks := find_leaks(clips):
            group, one, other = leaks[0]
            more = f" (and {len(leaks) - 1} more recordings)" if len(leaks) > 1 else ""
            raise DataError(
                f"The split leaks: recording '{group}' is in both {one} and {other}{more}, so a score would "
                "measure memory; keep all clips of a recording on one side."
            )
        return clips


class FileCorpus(Corpus):
    """A corpus of one audio file per clip."""

    @abstractmethod
    def path(self, clip: Clip) -> Path:
        """Where a clip lies."""

    def read(self, clip: Clip, sample_rate: int) -> Samples:
        """Decode a clip's file."""
        return read_audio(self.path(clip), sample_rate)


def check_seed(seed: int) -> None:
    """Raise DataError for a seed that numpy does not take."""
    if seed < 0:
        raise DataError(f"A seed of data is a whole number of 0 or more, not {seed}.")


def multi_hot(clips: Sequence[Clip], n_classes: int) -> npt.NDArray[np.bool_]:
    """Which labels each clip has: [clips, classes]."""
    found = np.zeros((len(clips), n_classes), bool)
    for row, clip in enumerate(clips):
        found[row, list(clip.targets or ())] = True
    return found


def find_leaks(clips: Mapping[Split, Sequence[Clip]]) -> list[tuple[str, Split, Split]]:
    """Recordings that stand in two splits: their names and both splits."""
    seen: dict[str, Split] = {}
    leaks = []
    for split, members in clips.items():
        for group in sorted({clip.group for clip in members}):
            if group in seen:
                leaks.append((group, seen[group], split))
            seen.setdefault(group, split)
    return leaks


def read_audio(
    path: Path, sample_rate: int, *, start_s: float = 0.0, seconds: float | None = None
) -> Samples:
    """Read an audio file as the runtime does: mono, resampled in float, with the same bits.

    Args:
        path: the file.
        sample_rate: Hz.
        start_s: where to begin, seconds.
        seconds: how much to read; None reads to the end.

    Returns:
        int16 where that has the samples exactly, as of a mono file of 16 bits at this rate; else float32.

    Raises:
        AudioError: where the file is missing, damaged, empty or not audio; it names the path.
    """
    recording = read_recording(path, sample_rate, start_s=start_s, seconds=seconds)
    for note in recording.notes:  # Python shows each once; check-data names the clips
        warnings.warn(f"In a clip of the corpus: {note}", AudioWarning, stacklevel=2)
    rounded = to_int16(recording.samples)
    return rounded if np.array_equal(as_float(rounded), recording.samples) else recording.samples
