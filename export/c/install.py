"""Compiles the C form of a model for this machine, where `runtime.load_model` finds it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from export.c.library import write_library
from runtime.errors import TinysceneError
from runtime.files import make_folder, write_beside
from runtime.model.native_library import library_path
from runtime.model.native_session import NativeSession

_LINES = 12  # of a compiler's message


def install_library(model: Path) -> NativeSession:
    """Compile a model, run its self-test, and put the library into the cache of this user.

    Returns:
        the library, loaded.

    Raises:
        TinysceneError: where there is no compiler, it fails, or the cache cannot be written.
        ModelFileError: where the model cannot become C, or the library gives other numbers.
    """
    with tempfile.TemporaryDirectory(prefix="tinyscene-") as name:
        compiled = compile_library(model, Path(name))
        NativeSession(compiled)  # its self-test, before the library takes its place
        path = library_path(model)
        make_folder(path.parent, "set XDG_CACHE_HOME to a folder of yours")
        with write_beside(path) as partial:
            shutil.copyfile(compiled, partial)
        path.chmod(0o644)  # whatever the umask: `installed_library` refuses what others may write to
    return NativeSession(path)


def compile_library(model: Path, folder: Path) -> Path:
    """Write the C form of a model into a folder and compile it there.

    Returns:
        libmodel.so, which `runtime.load_model` takes.

    Raises:
        TinysceneError: where there is no compiler, or it fails.
        ModelFileError: where the model cannot become C.
    """
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None or shutil.which("make") is None:
        raise TinysceneError(
            "A C compiler and make are needed: install them (Debian: apt install gcc make), or stay with "
            "ONNX Runtime, which needs neither."
        )
    write_library(model, folder)
    _make(folder, compiler)
    return folder / "libmodel.so"


def _make(folder: Path, compiler: str) -> None:
    command = ["make", "-s", "-C", str(folder), f"CC={compiler}", "libmodel.so"]
    # the flags of the Makefile are those that were measured, and give the same bits everywhere
    environment = {name: value for name, value in os.environ.items() if name != "CFLAGS"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        lines = done.stderr.strip().splitlines()[-_LINES:]
        raise TinysceneError(
            f"{compiler} cannot compile the model: set CC to another compiler.\n" + "\n".join(lines)
        )
