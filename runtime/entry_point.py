"""What the ``__main__`` of every package shares: errors become one sentence, signals end cleanly."""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType

from runtime.errors import MissingExtraError, TinysceneError

EXIT_OK = 0
EXIT_NEGATIVE = 1  # the command worked and its answer is no: over the limits, not verified
EXIT_UNUSABLE = 2  # the input cannot be used; argparse uses the same code
_EXIT_SIGNAL = 128
# The second is not everywhere; the third is of a limit of the process
FULL_DISK = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)


def run(command: Callable[[list[str]], int]) -> None:
    """Run a package's command on ``sys.argv`` and leave the process with its exit code.

    Args:
        command: takes the arguments after the package's name and returns an exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a label or a name that the terminal cannot show is escaped
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _raise_keyboard_interrupt)
    try:
        code = command(sys.argv[1:])
        if sys.stdout is not None:  # it is None where the caller closed it
            sys.stdout.flush()
    except TinysceneError as error:
        print(f"error: {error}", file=sys.stderr)
        code = EXIT_UNUSABLE
    except KeyboardInterrupt:
        code = _EXIT_SIGNAL + signal.SIGINT
    except BrokenPipeError:  # the reader (`| head`) has closed the pipe
        _discard_stdout()
        code = EXIT_OK
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        print(f"error: Nothing more can be written ({error.strerror}): make room.", file=sys.stderr)
        _discard_stdout()
        code = EXIT_UNUSABLE
    sys.exit(code)


def _discard_stdout() -> None:
    """Redirect stdout to nothing: Python would complain again while it flushes that stream at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional dependency; an error names the extra that brings it.

    Raises:
        MissingExtraError: where the package of ``module`` is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # something inside the package is broken: its own message is the right one
        raise MissingExtraError(package, extra) from error


def wait_without_spinning() -> None:
    """Let threads that wait for each other sleep, unless the user's environment says otherwise.

    OpenMP, with which torch computes, lets them spin by default, and beside a busy process they take the
    processor from the thread that they wait for, so that a step takes many times as long. It has to be set
    before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def command_of(package: str) -> list[str]:
    """The command line before the verb that starts another command of a package as this process was started.

    From the console script it is that script again: ``python -m train`` would run a ``train.py`` of the
    current folder instead.
    """
    if _from_console_script():
        return [sys.executable, str(Path(sys.argv[0]).resolve())]
    return [sys.executable, "-m", package]


def program(package: str) -> str:
    """What a user who started a command of a package typed before its verb; usage messages begin with it."""
    return "tinyscene" if _from_console_script() else f"python -m {package}"


def _from_console_script() -> bool:
    return sys.modules["__main__"].__spec__ is None and Path(sys.argv[0]).stem == "tinyscene"


def _raise_keyboard_interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
