"""Sounds of none of the classes: which are trained on, and which are left to test with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.learn.data.recordings import find_recordings
from runtime.audio.samples import as_float
from runtime.errors import DataError
from train.data.audio_files import find_audio
from train.data.corpus import read_audio
from train.data.datasets.with_negatives import synthetic_noise

ONE_IN, _MOST = 5, 60  # recordings that are held out, and the most files
_NOISE = range(1_000, 1_010)  # numbers of clips of synthetic noise; those of training are smaller


@dataclass(frozen=True)
class Negatives:
    """Folders of sounds of none of the classes.

    Attributes:
        folders: however deep their files lie.
        files: how many there are.
        held_out: folder and name of the files that are not trained on.
    """

    folders: tuple[Path, ...] = ()
    files: int = 0
    held_out: tuple[tuple[Path, str], ...] = ()

    @property
    def held_out_names(self) -> tuple[str, ...]:
        """Their names; a name that two folders share is left out of both."""
        return tuple(sorted({name for _, name in self.held_out}))

    @property
    def count(self) -> int:
        """Number of `sounds`."""
        return len(self.held_out) + len(_NOISE)

    def sounds(self, sample_rate: int) -> Iterator[npt.NDArray[np.float32]]:
        """The samples of what is held out, and synthetic noise."""
        for folder, name in self.held_out:
            yield as_float(read_audio(folder / name, sample_rate))
        for number in _NOISE:
            yield as_float(synthetic_noise(number, sample_rate))


def find_negatives(folders: Sequence[Path], also: Sequence[Path] = ()) -> Negatives:
    """One recording in five is held out, where there are so many; what one is, their names show.

    Args:
        folders: of the negatives.
        also: of ``--also``, which are only checked: they are a corpus together with the negatives.

    Raises:
        DataError: where a folder holds no audio file, or two have the same name.
    """
    found = [(folder, name) for folder in folders for name in _audio_names(folder, "--negatives")]
    for folder in also:
        _audio_names(folder, "--also")
    names = [folder.resolve().name for folder in (*folders, *also)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"Two of the folders of --negatives and --also have the name '{twice}': rename one.")
    return Negatives(tuple(folders), len(found), tuple(_held_out(found)))


def _audio_names(folder: Path, option: str) -> Sequence[str]:
    names = find_audio(folder, folder).names if folder.is_dir() else []
    if not names:
        raise DataError(f"{option} {folder} is no folder with audio files: name another.")
    return names


def _held_out(found: Sequence[tuple[Path, str]]) -> list[tuple[Path, str]]:
    if len(found) < ONE_IN:
        return []
    of_path = {f"{folder.name}/{name}": (folder, name) for folder, name in found}
    recordings = find_recordings({path: of_path[path][0].name for path in of_path}, None)[0].of_file
    names = list(dict.fromkeys(recordings.values()))
    chosen = set(names[:: max(ONE_IN, len(names) // _MOST)]) if len(names) > 1 else set()
    return [of_path[path] for path in of_path if recordings[path] in chosen][:_MOST]
