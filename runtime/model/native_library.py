"""Where `python -m export c --install` puts the compiled form of a model, for `load_model` to find.

pip gives a build no means to see which extra was asked for, so a library is compiled by that command and lies
in the cache of its user, not in the package.
"""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path


def library_path(model: Path) -> Path:
    """The place of the library of an .onnx file: of these bytes, on this kind of machine.

    Raises:
        OSError: where the model cannot be read.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    machine = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")
    return base / "tinyscene" / f"{model.stem}-{zlib.crc32(model.read_bytes()):08x}-{machine}.so"


def installed_library(model: Path) -> Path | None:
    """The library of an .onnx file if it was installed; one that others may write to is passed over."""
    try:
        path = library_path(model)
        found = path.stat()
    except (OSError, RuntimeError):  # RuntimeError: no home
        return None
    trusted = not hasattr(os, "geteuid") or found.st_uid in (os.geteuid(), 0)
    return path if trusted and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else None
