"""``python -m runtime sort``: moves captures into class folders, by keys or by options."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import numpy.typing as npt

from runtime.audio.level import level_dbfs
from runtime.audio.samples import to_int16
from runtime.capture.capture_name import CaptureName
from runtime.capture.sorting import NOT_A_CLASS, Sorting
from runtime.cli.formatting import name_on_one_line, on_one_line
from runtime.devices import loudspeaker
from runtime.devices.file_source import FileSource
from runtime.entry_point import EXIT_OK
from runtime.errors import ConfigError, DeviceError, TinysceneError

_KEYS = (
    "Enter: as labelled, a number or name: that class, n: not a class, d: delete, s: skip, p: play, q: quit"
)


def sort(arguments: Namespace) -> int:
    """Sort captures; what was decided stays when it is interrupted."""
    sorting = Sorting(arguments.captures, arguments.sounds)
    if arguments.as_class or arguments.not_a_class:
        _sort_named(sorting, arguments)
        return EXIT_OK
    paths = sorting.captures()
    print(f"{len(paths)} captures in {name_on_one_line(sorting.folder)}")
    if not paths:
        return EXIT_OK
    if sys.stdin is None:
        raise ConfigError("stdin is closed: name the captures with --as and --not-a-class.")
    dialog = _Dialog(sorting, muted=arguments.mute)
    try:
        print(_KEYS)
        dialog.run(paths)
    finally:
        print(dialog.summary(len(paths)), flush=True)
    return EXIT_OK


def _sort_named(sorting: Sorting, arguments: Namespace) -> None:
    """Move the files of the command line; all of them are looked up before the first one moves."""
    moves: list[tuple[Path, str]] = []
    for label, *names in arguments.as_class or ():
        if not names:
            raise ConfigError(f"--as {label} names no file: write --as {label} FILE.")
        _refuse_misspelt(label, sorting)
        moves += [(sorting.find(name), label) for name in names]
    for names in arguments.not_a_class or ():
        moves += [(sorting.find(name), NOT_A_CLASS) for name in names]
    for path, label in moves:
        print(name_on_one_line(sorting.move(path, label)))


def _refuse_misspelt(label: str, sorting: Sorting) -> None:
    """Raise ConfigError for a new class that is nearly an old one; the dialog asks for it twice instead."""
    classes = sorting.classes()
    close = () if label in (*classes, NOT_A_CLASS) else get_close_matches(label, classes, n=1, cutoff=0.8)
    if close:
        raise ConfigError(
            f"There is no class '{label}': did you mean '{close[0]}'? If it is a new one, make the folder "
            f"{sorting.sounds / label} first."
        )


@dataclass
class _Dialog:
    """Shows one capture after another and asks where it belongs."""

    sorting: Sorting
    muted: bool
    _done: Counter[str] = field(default_factory=Counter)
    _classes: list[str] = field(default_factory=list)  # in the order of their numbers
    _new: str = ""  # a class that was named once and has no folder

    def run(self, paths: list[Path]) -> None:
        """Ask for each, until the end of the list or of the answers."""
        self._classes = self.sorting.classes()
        self._show_classes()
        for number, path in enumerate(paths, 1):
            capture = _read(path)
            print(f"\n{number}/{len(paths)}  {capture.heading}")
            if len(capture.mono) and not self.muted:
                self._play(capture)
            try:
                while not self._answer(input("> ").strip(), capture):
                    pass
            except EOFError:
                return

    def summary(self, count: int) -> str:
        """What became of the captures."""
        left = count - self._done["moved"] - self._done["deleted"]
        return f"{self._done['moved']} sorted, {self._done['deleted']} deleted, {left} left"

    def _show_classes(self) -> None:
        print("  ".join(f"{place} {on_one_line(label)}" for place, label in enumerate(self._classes, 1)))

    def _answer(self, answer: str, capture: _Capture) -> bool:
        """Do as the answer says; whether the capture is dealt with. EOFError ends the dialog."""
        path = capture.path
        name = CaptureName.parse(path.name)
        if answer == "q":
            raise EOFError
        if answer == "p":
            self._play(capture)
            return False
        if answer == "s":
            return True
        if answer == "d":
            return self._delete(path)
        label = NOT_A_CLASS if answer == "n" else answer
        if not answer and name is not None:
            label = name.label
        if answer.isdecimal() and answer not in self._classes:
            if not 1 <= int(answer) <= len(self._classes):
                print(f"{answer} is no class: give a number from 1 to {len(self._classes)}")
                return False
            label = self._classes[int(answer) - 1]
        return self._move(path, label)

    def _delete(self, path: Path) -> bool:
        try:
            self.sorting.delete(path)
        except TinysceneError as error:
            print(f"error: {error}")
            return False
        self._done["deleted"] += 1
        return True

    def _move(self, path: Path, label: str) -> bool:
        known = label in (*self._classes, NOT_A_CLASS)
        if not known and label != self._new:
            self._new = label
            print(f"there is no class '{on_one_line(label)}' yet: give it again to begin it")
            return False
        try:
            target = self.sorting.move(path, label)
        except TinysceneError as error:
            print(f"error: {error}")
            return not path.exists()
        self._done["moved"] += 1
        print(f"moved to {name_on_one_line(target)}")
        if not known:
            self._classes.append(label)
            self._show_classes()
        return True

    def _play(self, capture: _Capture) -> None:
        try:
            loudspeaker.play(capture.mono, capture.sample_rate)
        except DeviceError as error:
            self.muted = True  # say so once, and again where it is asked for
            print(f"not played: {error}")


@dataclass(frozen=True)
class _Capture:
    """A capture as it was read; without samples where it cannot be.

    Attributes:
        path: of the file.
        mono: int16 [samples].
        sample_rate: Hz.
        heading: label, score, time, length and level on one line.
    """

    path: Path
    mono: npt.NDArray[np.int16]
    sample_rate: int
    heading: str


def _read(path: Path) -> _Capture:
    name = CaptureName.parse(path.name)
    about = path.name if name is None else f"{name.label}  {name.described}  {_clock(name)}"
    try:
        source = FileSource(path)
        samples = np.concatenate([block.mean(axis=1) for block in source.blocks()])
        source.close()
    except TinysceneError as error:
        return _Capture(path, np.empty(0, np.int16), 0, on_one_line(f"{about}  ({error})"))
    seconds, level = len(samples) / source.sample_rate, max(level_dbfs(samples), -99.0)
    heading = on_one_line(f"{about}  {seconds:.1f} s  {level:.0f} dBFS")
    return _Capture(path, to_int16(samples), source.sample_rate, heading)


def _clock(name: CaptureName) -> str:
    day, clock = name.session, name.time
    return f"{day[:4]}-{day[4:6]}-{day[6:8]} {clock[:2]}:{clock[2:4]}:{clock[4:]}"
