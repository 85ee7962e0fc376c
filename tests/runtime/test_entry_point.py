"""Every end of a command has its exit code, and an error its one sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest


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
