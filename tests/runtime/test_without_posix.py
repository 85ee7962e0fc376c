"""The runtime needs nothing that only POSIX has: laptops run Windows, too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

# modules that Windows lacks, and what it lacks in `os`, `socket`, `signal` and `errno`
PROGRAM = """
import errno, functools, os, select, signal, socket, sys
for name in ("fcntl", "termios", "resource", "pwd", "grp", "pty", "tty", "syslog"):
    sys.modules[name] = None
import onnxruntime, scipy.fft, soundfile, soxr, subprocess  # look at the platform at import
import multiprocessing.connection, multiprocessing.popen_spawn_posix, multiprocessing.resource_tracker
try:
    import matplotlib.figure
except ImportError:
    pass
pair = functools.partial(socket.socketpair, socket.AF_UNIX)  # Windows has pairs, too, of another family
try:
    import aiomqtt, starlette.applications, starlette.responses, starlette.websockets, uvicorn
    import uvicorn.protocols.websockets.websockets_sansio_impl
except ImportError:  # the extras are not installed
    pass
for module, names in (
    (os, ("fork", "mkfifo", "sysconf", "getuid", "geteuid", "uname", "fchmod", "statvfs")),
    (socket, ("AF_UNIX", "SOCK_CLOEXEC")),
    (signal, ("SIGKILL", "SIGHUP", "SIGALRM", "SIGPIPE", "SIGUSR1")),
    (errno, ("EDQUOT",)),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)

def sockets_only(readable, *others):
    raise OSError(10038, "An operation was attempted on something that is not a socket")

socket.socketpair = pair
select.select, sys.platform = sockets_only, "win32"
import importlib, pkgutil
import runtime
for module in pkgutil.walk_packages(runtime.__path__, "runtime."):
    if module.name.startswith("runtime.server.web") and "uvicorn" not in sys.modules:
        continue
    if module.name != "runtime.__main__":
        importlib.import_module(module.name)
from runtime.cli.main import main
from runtime.entry_point import run
run(main)
"""


def without_posix(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], input=stdin, capture_output=True, timeout=120
    )


def test_files_are_classified(tmp_path: Path, model_path: Path, noise: np.ndarray) -> None:
    soundfile.write(tmp_path / "a.wav", noise, 32_000)
    results = tmp_path / "results.csv"
    done = without_posix("classify", str(tmp_path), "--model", str(model_path), "-o", str(results))
    assert done.returncode == 0 and b"real time" in done.stderr and b"Traceback" not in done.stderr
    assert len(results.read_text().splitlines()) == 5


def test_a_pipe_is_classified_and_recorded(tmp_path: Path, model_path: Path, noise: np.ndarray) -> None:
    soundfile.write(tmp_path / "a.wav", noise, 32_000, subtype="PCM_16")
    done = without_posix(
        "listen", "-", "--json", "--hop", "1", "--record", str(tmp_path / "recorded"),
        "--model", str(model_path), stdin=(tmp_path / "a.wav").read_bytes(),
    )  # fmt: skip
    windows = [line for line in map(json.loads, done.stdout.splitlines()) if "state" in line]
    assert done.returncode == 0 and len(windows) == 4, done.stderr
    (recording,) = (tmp_path / "recorded").iterdir()
    assert soundfile.info(recording).frames == len(noise)
