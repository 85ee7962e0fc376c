"""Every end of a command has its exit code, and an error its one sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.classifier import packaged_model


@pytest.mark.parametrize(
    ("body", "code", "errors"),
    [("return 1", 1, ""), ("raise AudioError('It is broken.')", 2, "error: It is broken.\n"),
     ("raise KeyboardInterrupt", 130, ""), ("os.kill(os.getpid(), 15); time.sleep(9)", 130, ""),
     ("raise BrokenPipeError", 0, ""),
     ("require('nowhere_at_all', extra='mic')", 2, "error: This command needs the package 'nowhere_at_all', "
      "which is not installed: run `pip install 'tinyscene[mic]'`.\n")],
)  # fmt: skip
def test_ends_become_exit_codes(body: str, code: int, errors: str) -> None:
    program = (
        "import os, time\nfrom runtime.entry_point import require, run\n"
        "from runtime.errors import AudioError\n"
        f"def command(arguments):\n    {body}\nrun(command)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (code, errors)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_an_extension_loads_ends_the_command(tmp_path: Path, signal_number: int) -> None:
    """An extension turns the KeyboardInterrupt of its initialization into an ImportError."""
    (tmp_path / "onnxruntime.py").write_text(
        f"import os, time\ntry:\n    os.kill(os.getpid(), {int(signal_number)}); time.sleep(9)\n"
        "except KeyboardInterrupt as error:\n    raise ImportError('initialization failed') from error"
    )
    program = (
        "from runtime.entry_point import run\nfrom runtime.model.session import Session\n"
        "run(lambda arguments: Session(arguments[0]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", program, str(packaged_model())],
        capture_output=True, text=True, timeout=60, env=environment,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "")
