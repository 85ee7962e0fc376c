"""From names on the command line to audio files; folders are searched with all that lies in them."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from runtime.audio.decode import AUDIO_SUFFIXES
from runtime.files import printable

_NOT_CLIPS = frozenset(("__MACOSX", "Thumbs.db", "desktop.ini"))


@dataclass
class AudioPaths:
    """Audio files, and what was left out on the way.

    Attributes:
        inputs: for every name that was given, in that order, the file itself, or those of a folder, sorted.
        hidden: files and folders that systems put beside the user's, such as ``._a.wav`` and ``__MACOSX``.
        others: files that are not audio by their names, counted by suffix.
        problems: one sentence for each folder that could not be searched.

    Example:
        >>> AudioPaths.find([wav_path.parent]).files == [str(wav_path)]
        True
    """

    inputs: list[list[str]] = field(default_factory=list)
    hidden: int = 0
    others: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def find(cls, names: Iterable[str | Path]) -> AudioPaths:
        """Take files as they are, whatever their suffix, and the audio files of folders."""
        found = cls()
        for name in map(str, names):
            if not name:  # as of a shell variable that is not set; Path("") would be the current folder
                found.problems.append("A name is empty: name audio files or folders of them.")
            elif _is_folder(name):
                found._search(name)
            else:
                found.inputs.append([name])
        return found

    @property
    def files(self) -> list[str]:
        """Of all inputs."""
        return [name for files in self.inputs for name in files]

    def left_out(self) -> str:
        """What was left out, in words; empty where nothing was."""
        parts = [f"{self.hidden} hidden"] if self.hidden else []
        if self.others:
            kinds = ", ".join(suffix or "no suffix" for suffix, _ in self.others.most_common(5))
            parts.append(f"{self.others.total()} not audio by name ({kinds})")
        return " and ".join(parts)

    def _search(self, folder: str) -> None:
        """Depth first, sorted, links followed; by a stack, since folders may lie deeper than calls may."""
        files: list[str] = []
        self.inputs.append(files)
        before = len(self.problems)
        stack: list[tuple[str, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
        while stack:
            path, parents = stack.pop()
            try:
                status = Path(path).stat()
                if not stat.S_ISDIR(status.st_mode):
                    self._add(path, stat.S_ISREG(status.st_mode))
                    continue
                place = status.st_dev, status.st_ino
                if place in parents:
                    self._refuse(path, "links to a folder that it lies in: remove the link.")
                    continue
                names = sorted((child.name for child in Path(path).iterdir()), reverse=True)
                children = [name for name in names if not self._is_hidden(name)]
            except OSError as error:
                self._refuse(path, f"cannot be opened ({error.strerror}): mend or remove it.")
                continue
            # the stack is last in, first out: children are pushed backwards
            stack += [(str(Path(path, child)), parents | {place}) for child in children]
        if not files and len(self.problems) == before:
            what = self.left_out()
            self._refuse(folder, f"holds no audio file{f' ({what})' if what else ''}: name another.")

    def _refuse(self, path: str, what: str) -> None:
        self.problems.append(f"{printable(path)} {what}")

    def _add(self, path: str, regular: bool) -> None:
        suffix = Path(path).suffix.lower()
        if regular and suffix in AUDIO_SUFFIXES:
            self.inputs[-1].append(path)
        else:
            self.others[suffix] += 1

    def _is_hidden(self, name: str) -> bool:
        hidden = name.startswith(".") or name in _NOT_CLIPS
        self.hidden += hidden
        return hidden


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # as for a name that is too long, which the attempt to open it reports
        return False
