"""A class of background: the files of folders, or what sounds between the sounds of the classes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote

import numpy as np
import numpy.typing as npt

from export.learn.data.sounds import Sounds
from export.learn.data.split import Division
from runtime.audio.level import NO_SIGNAL_DBFS, level_dbfs
from runtime.audio.samples import as_float, to_int16
from runtime.audio.window_grid import window_starts
from runtime.errors import AudioError, ConfigError, DataError
from runtime.files import make_folder, write_beside
from runtime.live.takes import write_wav
from train.data import Clip
from train.data.audio_files import find_audio
from train.data.corpus import read_audio

LABEL = "background"
QUIET = "quiet"  # what ``--background`` takes in the place of a folder
QUIET_DB = 30.0  # below the loudest second of a file
_LEAST = 3  # recordings with a quiet part
_MOST, _MOST_READ = 200, 2_000  # files with a quiet part, and files that are searched for one
_LONGEST_S = 10


def with_folders(sounds: Sounds, folders: Sequence[Path]) -> Sounds:
    """The sounds, and the files of folders as clips of the class `LABEL`.

    Raises:
        DataError: where a folder has no audio file.
        ConfigError: where a table says which of its files train, so that nothing says it of these.
    """
    if not folders:
        return sounds
    if sounds.splits:
        raise ConfigError(
            "--background adds files that the column 'split' of the table says nothing of: add them to it, "
            f"with the label {LABEL}."
        )
    names: list[str] = []
    for folder in folders:
        found = find_audio(folder, folder).names if folder.is_dir() else []
        if not found:
            raise DataError(f"--background {folder} is no folder with audio files: name another, or 'quiet'.")
        names += [_from_root(folder / name, sounds.root) for name in found]
    return sounds.with_class(LABEL, names)


def with_quiet_parts(sounds: Sounds, division: Division, folder: Path, rate: int) -> tuple[Sounds, Division]:
    """The sounds, and their quiet parts as clips of the class `LABEL`, each on the side of its recording.

    A quiet part is one second or more, each of which lies more than `QUIET_DB` below the loudest of its file
    and is no digital silence.

    Args:
        sounds: of the user.
        division: which of them train.
        folder: for the parts, one file each; what an earlier try stored there is not cut again.
        rate: of the parts, Hz.

    Raises:
        DataError: where too few recordings have such parts.
    """
    stored = folder / "parts.json"
    if stored.is_file():
        part_of = json.loads(stored.read_text(encoding="utf-8"))
    else:
        part_of = _cut(sounds, division, folder, rate)
        with write_beside(stored) as partial:
            partial.write_text(json.dumps(part_of), encoding="utf-8")
    clips = {clip.id: clip for clip in division.clips}
    recordings = len({clips[parent].group for parent in part_of.values()})
    if recordings < _LEAST:
        raise DataError(_too_few(sounds, recordings))
    ids = {_from_root(folder / name, sounds.root): parent for name, parent in part_of.items()}
    parts = [Clip(id=name, targets=(), group=clips[parent].group) for name, parent in ids.items()]
    return sounds.with_class(LABEL, []), replace(
        division,
        clips=(*division.clips, *parts),
        label_of={**division.label_of, **dict.fromkeys(ids, LABEL)},
        splits={**division.splits, **{name: division.splits[parent] for name, parent in ids.items()}},
    )


def _too_few(sounds: Sounds, recordings: int) -> str:
    one = (
        f"{sounds.root} has one class, '{sounds.labels[0]}', and a classifier chooses between two or more. "
        if len(sounds.labels) == 1
        else ""
    )
    return (
        f"{one}A class '{LABEL}' of the quiet parts of recordings needs {_LEAST} recordings that have any "
        f"(a second {QUIET_DB:.0f} dB below the loudest), and {recordings or 'none'} of them "
        f"{'has' if recordings <= 1 else 'have'}: record some with `tinyscene record {LABEL} --into "
        f"{quote(str(sounds.root))}`, or name a folder with --background DIR."
    )


def _cut(sounds: Sounds, division: Division, folder: Path, rate: int) -> dict[str, str]:
    """Write the parts; the names of their files to the clips that they are of."""
    make_folder(folder, "name another -o")
    found: dict[str, str] = {}
    for clip in _in_any_order(division):
        try:
            wave = as_float(read_audio(sounds.root / clip.id, rate))
        except AudioError:  # the check names it
            continue
        part = quiet_part(wave, rate)
        if len(part):
            name = f"{hashlib.sha256(os.fsencode(clip.id)).hexdigest()[:12]}.wav"
            write_wav(folder / name, to_int16(part), rate)
            found[name] = clip.id
        if len(found) == _MOST:
            break
    return found


def _in_any_order(division: Division) -> Iterator[Clip]:
    """Clips of all classes and both splits, the same ones each time."""
    order = np.random.default_rng(0).permutation(len(division.clips))[:_MOST_READ]
    clips = (division.clips[place] for place in order)
    return (clip for clip in clips if division.label_of[clip.id] != LABEL)


def quiet_part(wave: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float32]:
    """The longest stretch of quiet seconds in a recording, ten seconds of it at most; empty where none is.

    Args:
        wave: mono [samples].
        rate: Hz.
    """
    starts = window_starts(len(wave), rate, rate)
    levels = [level_dbfs(wave[start : start + rate]) for start in starts]
    highest = max(levels, default=0.0) - QUIET_DB
    quiet = [NO_SIGNAL_DBFS <= level < highest for level in levels]
    best, begin = slice(0, 0), 0
    for place in range(len(starts) + 1):
        if place < len(starts) and quiet[place] and place - begin < _LONGEST_S:
            continue
        if place > begin and starts[place - 1] + rate - starts[begin] > best.stop - best.start:
            best = slice(starts[begin], starts[place - 1] + rate)
        begin = place if place < len(starts) and quiet[place] else place + 1
    return wave[best]


def _from_root(path: Path, root: Path) -> str:
    """A path as a table has it, whose paths begin at the folder of the sounds."""
    return Path(os.path.relpath(path.resolve(), root.resolve())).as_posix()
