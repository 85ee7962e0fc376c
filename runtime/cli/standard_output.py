"""Stdout of a command that prints JSON: nothing else may come between the lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

_STDOUT, _STDERR = 1, 2


@contextmanager
def json_alone() -> Iterator[None]:
    """Send what libraries in C print on stdout to stderr, while ``sys.stdout`` goes where it went.

    Drivers of sound cards and their libraries print there, in threads of their own and when they like. Where
    stdout and stderr are one (`2>&1`), or stderr is closed, it is discarded.
    """
    shown = sys.stdout
    if not _is_stdout(shown):
        yield
        return
    shown.flush()
    null = os.open(os.devnull, os.O_WRONLY)  # first: where stderr is closed, it takes its number
    copy = os.dup(_STDOUT)
    own = os.fdopen(copy, "w", encoding=shown.encoding, errors=shown.errors)
    os.dup2(null if is_one_log() or sys.stderr is None else _STDERR, _STDOUT)
    sys.stdout = own
    try:
        yield
    finally:
        sys.stdout = shown
        _flush_libraries()
        try:
            own.flush()
        finally:
            os.dup2(copy, _STDOUT)
            os.close(null)
            with suppress(OSError):  # the reader is gone, as the flush has said
                own.close()


def is_one_log() -> bool:
    """Whether stdout and stderr are one file or pipe (`2>&1`): only JSON belongs between lines of JSON."""
    try:
        out, err = os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # closed, or replaced by something that has no descriptor
        return False
    return out.st_ino != 0 and os.path.samestat(out, err) and not sys.stderr.isatty()


def _is_stdout(stream: TextIO | None) -> bool:
    """Whether a stream is where libraries print, too; not where it is closed, or was replaced."""
    try:
        return stream is not None and stream.fileno() == _STDOUT
    except (OSError, ValueError):
        return False


def _flush_libraries() -> None:
    """Write what printf of C has buffered, before stdout is the command's again."""
    import ctypes  # only here: it takes time, and few commands print JSON

    with suppress(OSError, AttributeError, TypeError):  # Windows has no library of that name
        ctypes.CDLL(None).fflush(None)
