"""From captures to class folders: files move whole or not at all, and replace nothing."""

from __future__ import annotations

import filecmp
import itertools
import shutil
from pathlib import Path

from runtime.capture.capture_name import CaptureName
from runtime.errors import ConfigError, TinysceneError
from runtime.files import link_new, make_folder, write_beside
from runtime.live.takes import checked_label

NOT_A_CLASS = "not_a_class"  # folder of sounds that belong to no class, which `learn` takes as negatives


class Sorting:
    """A folder of captures, and the class folders that they move into.

    Args:
        captures: the folder that `CaptureFolder` fills.
        sounds: where the class folders are; made when the first capture moves.

    Raises:
        ConfigError: where there is no folder of captures.

    Example:
        >>> folder.mkdir()
        >>> name = "dog_20261126T230000_231742-event-0.93.wav"
        >>> _ = folder.joinpath(name).write_bytes(wav_path.read_bytes())
        >>> sorting = Sorting(folder, folder / "sounds")
        >>> [path.name for path in sorting.captures()], sorting.classes()
        (['dog_20261126T230000_231742-event-0.93.wav'], ['dog'])
        >>> sorting.move(folder / name, "cat").name
        'cat_20261126T230000_231742.wav'
    """

    def __init__(self, captures: str | Path, sounds: str | Path) -> None:
        self.folder, self.sounds = Path(captures), Path(sounds)
        if not self.folder.is_dir():
            raise ConfigError(
                f"There is no folder {self.folder}: name the one that `listen --capture` was given."
            )

    def captures(self) -> list[Path]:
        """What is still to be sorted, the oldest first."""
        named = [(CaptureName.parse(path.name), path) for path in self.folder.iterdir()]
        found = [(name.session, name.time, path.name, path) for name, path in named if name is not None]
        return [path for _, _, _, path in sorted(found)]

    def classes(self) -> list[str]:
        """The class folders that there are, and the labels of captures, in alphabetical order."""
        folders = self.sounds.iterdir() if self.sounds.is_dir() else ()
        names = [path.name for path in folders if path.is_dir() and not path.name.startswith(".")]
        found = [CaptureName.parse(path.name) for path in self.captures()]
        return sorted({*names, *(name.label for name in found if name is not None)} - {NOT_A_CLASS})

    def find(self, name: str) -> Path:
        """A capture by its path, or by its name in the folder.

        Raises:
            ConfigError: where there is none.
        """
        found = next((path for path in (self.folder / name, Path(name)) if path.is_file()), None)
        if found is None:
            raise ConfigError(f"There is no {name}, neither here nor in {self.folder}: name captures in it.")
        return found

    def move(self, path: Path, label: str) -> Path:
        """Move a file into a class folder, or into `NOT_A_CLASS`.

        There its name begins with the class, as that of a take of `record` does; what the model found is left
        out of it. A number is added where the name is taken.

        Returns:
            where it is now.

        Raises:
            ConfigError: where the label is no name of a folder, or the folder cannot be made.
            TinysceneError: where the file is gone, or the folder cannot be written.
        """
        folder = self.sounds / checked_label(label)
        name = CaptureName.parse(path.name)
        stem = path.stem if name is None else f"{label}_{name.session}_{name.time}"
        tails = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        make_folder(folder)
        try:
            for tail in tails:
                target = folder / f"{stem}{tail}{path.suffix}"
                if _move_new(path, target):
                    return target
        except FileNotFoundError as error:
            raise TinysceneError(f"{path} is gone: it was sorted or removed meanwhile.") from error
        except OSError as error:
            raise TinysceneError(
                f"Cannot move {path} into {folder} ({error.strerror}): make room, or name another folder."
            ) from error
        raise AssertionError  # there is a free number

    def delete(self, path: Path) -> None:
        """Remove a capture.

        Raises:
            TinysceneError: where it cannot be removed.
        """
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise TinysceneError(
                f"Cannot delete {path} ({error.strerror}): remove it by hand, or leave it."
            ) from error


def _move_new(source: Path, target: Path) -> bool:
    """Move a file to a place where there is none; whether the place was free.

    The file is at its new place before it leaves the old one. Where that was interrupted, the same move
    finds the same bytes there, and ends it.
    """
    if target.exists():
        if not filecmp.cmp(source, target, shallow=False):
            return False
    elif not _link(source, target):
        return False
    source.unlink()
    return True


def _link(source: Path, target: Path) -> bool:
    """Make a file appear at a second place, whole; False where another one appeared there first."""
    try:
        if not link_new(source, target):
            with write_beside(target, replace=False) as partial:
                shutil.copyfile(source, partial)
    except FileExistsError:
        return False
    return True
