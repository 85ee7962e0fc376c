"""The audio files of a folder, as people's folders are: with links, and with files that are no audio."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.audio.decode import AUDIO_SUFFIXES
from runtime.errors import DataError

_SYSTEM_FILES = {"thumbs.db", "desktop.ini"}  # of file managers, as are all names that begin with a dot
_SYSTEM_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information"}
# Sound that libsndfile does not read, as of phones and videos; and archives
_FOR_FFMPEG = {".m4a", ".aac", ".amr", ".3gp", ".mp4", ".mov", ".webm", ".mkv", ".avi", ".wma"}
ARCHIVES = {".zip", ".rar", ".7z", ".tar", ".gz", ".tgz"}
_ROOT_KEY = "data.corpus.root"
_SHOWN = 5  # suffixes of other files that are named


@dataclass(frozen=True)
class Found:
    """What a folder holds.

    Attributes:
        files: where each audio file really lies, to its path below the root, with slashes. A file that
            several links lead to counts once, by the first of its paths.
        others: files that are no audio, by suffix ("" where they have none).
    """

    files: dict[str, str]
    others: Counter[str]

    @property
    def names(self) -> list[str]:
        """Paths of the audio files below the root, sorted."""
        return sorted(self.files.values())


def is_system_name(name: str, *, folder: bool) -> bool:
    """Whether an operating system or a file manager made it: ``._x.wav``, ``__MACOSX``, ``Thumbs.db``."""
    return name.startswith(".") or name.lower() in (_SYSTEM_FOLDERS if folder else _SYSTEM_FILES)


def class_folders(root: Path) -> list[Path]:
    """The folders right below ``root``, links to folders among them, sorted by name."""
    paths = _existing(root).iterdir()
    return sorted(path for path in paths if path.is_dir() and not is_system_name(path.name, folder=True))


def find_audio(folder: Path, root: Path, key: str = _ROOT_KEY) -> Found:
    """All audio files below a folder, whatever their suffix's case; links are followed.

    Args:
        folder: where to look.
        root: that the names are relative to.
        key: of the recipe, that names the folder.

    Raises:
        DataError: where there is no such folder, where a link leads back to a folder that it lies in, or
            where a folder cannot be listed.
    """
    files: dict[str, str] = {}
    others: Counter[str] = Counter()
    for path in _files(_existing(folder, key)):
        if path.suffix.lower() not in AUDIO_SUFFIXES:
            others[path.suffix.lower()] += 1
        else:
            files.setdefault(os.path.realpath(path), path.relative_to(root).as_posix())
    return Found(files, others)


def _existing(folder: Path, key: str = _ROOT_KEY) -> Path:
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}: check {key}.")
    return folder


def _files(folder: Path) -> Iterator[Path]:
    """Files below a folder in a stable order, the files of system folders left out."""
    above: dict[str, tuple[str, ...]] = {}  # a folder's own place and those of the folders that it lies in
    for current, folders, files in os.walk(folder, followlinks=True, onerror=_unlisted):
        place = os.path.realpath(current)
        chain = above.pop(current, ())
        if place in chain:
            raise DataError(
                f"{current} is a link to a folder that it lies in ({place}), so that the folder would never "
                "end: remove the link."
            )
        folders[:] = sorted(name for name in folders if not is_system_name(name, folder=True))
        above.update({os.path.join(current, name): (*chain, place) for name in folders})  # noqa: PTH118
        for name in sorted(files):
            if not is_system_name(name, folder=False):
                yield Path(current, name)


def _unlisted(error: OSError) -> None:
    raise DataError(f"Cannot list the folder {error.filename}: {error.strerror}.") from error


def convert(others: Counter[str]) -> str:
    """What makes audio files of those that are none, as a clause; empty where nothing does."""
    if suffix := next((suffix for suffix, _ in others.most_common() if suffix in _FOR_FFMPEG), None):
        return f"convert them to wav, for example with `ffmpeg -i NAME{suffix} NAME.wav`"
    return "unpack the archives" if any(suffix in ARCHIVES for suffix in others) else ""


def in_words(others: Counter[str]) -> str:
    """Counts of files that are no audio, the most frequent suffixes first: ``3 .txt, 1 without a suffix``."""
    counts = [f"{count} {suffix or 'without a suffix'}" for suffix, count in others.most_common(_SHOWN)]
    more = sum(others.values()) - sum(count for _, count in others.most_common(_SHOWN))
    return ", ".join([*counts, f"{more} others"] if more else counts)
