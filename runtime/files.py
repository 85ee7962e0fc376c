"""Files appear whole or not at all: written beside their place, then renamed into it."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from runtime.errors import ConfigError, TinysceneError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows: there two processes that write one file are not noticed
    fcntl = None


def lock(file: IO[Any]) -> bool:
    """Lock an open file until it is closed; False where another process has locked it.

    True also where the system or the file system has no locks.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


@contextmanager
def write_beside(path: str | Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; rename it into place if the body succeeds.

    A file at ``path`` stays as it was when the body raises.

    Args:
        path: of the file.
        replace: whether a file that is there by then is replaced.

    Raises:
        TinysceneError: where the folder does not exist or cannot be written to.
        FileExistsError: where there is a file and it must not be replaced.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise TinysceneError(f"{target} is a folder: name a file to write.")
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.stem}-", suffix=f".partial{target.suffix}"
        )
    except OSError as error:
        raise TinysceneError(f"Cannot write {target}: {error.strerror}; name another place.") from error
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        # mkstemp makes files private; a result is as readable as any other file of the user
        partial.chmod(0o666 & ~_umask())
        if replace or not link_new(partial, target):
            if not replace and target.exists():  # two writers in the same moment are not noticed here
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def link_new(source: Path, target: Path) -> bool:
    """Give a file a second name, in one step that replaces nothing.

    Returns:
        False without links: on a file system that has none, or where ``target`` is on another one.

    Raises:
        FileExistsError: where the name is taken.
        FileNotFoundError: where the file is gone.
    """
    try:
        os.link(source, target)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:
        return False
    return True


def refuse_to_replace(read: Iterable[str | Path], written: str | Path) -> None:
    """Make sure that a result takes the place of no file that it is made from.

    Args:
        read: names of such files, or of something that is no file.
        written: the file to write, which may be one of them by another name.

    Raises:
        ConfigError: where it is one of them.
    """
    if (status := _status(written)) is None:
        return
    for name in read:
        found = _status(name)
        if found is not None and os.path.samestat(status, found):
            raise ConfigError(
                f"The output would replace {printable(name)}, which this command reads: give another -o."
            )


def _status(path: str | Path) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except OSError:  # there is none, or the name is too long
        return None


def make_folder(path: str | Path, remedy: str = "name another folder") -> None:
    """Make a folder, and those that it lies in, where there are none.

    Args:
        path: of the folder.
        remedy: what the user can do where that fails, as a clause.

    Raises:
        ConfigError: where it cannot be made.

    Example:
        >>> make_folder(folder / "a" / "b")
        >>> make_folder(wav_path / "b", "give another -o")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        runtime.errors.ConfigError: Cannot make the folder ... (Not a directory): give another -o.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"Cannot make the folder {printable(path)} ({error.strerror}): {remedy}."
        ) from error


def printable(path: str | Path) -> str:
    r"""A path for messages and JSON: bytes of its name that are not UTF-8 become escapes such as ``\xe9``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
