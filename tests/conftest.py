"""What more than one room's tests need. Heavy fixtures are made once per session."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

ROOT = Path(__file__).parent.parent
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run_room() -> Run:
    """Run ``python -m ROOM ARGUMENTS...`` as a user would, in a folder of one's choice."""

    def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)

    return run


@pytest.fixture(scope="session")
def esc10_dir() -> Path:
    """The ESC-10 folder of the environment variable ESC10_DIR."""
    if not os.environ.get("ESC10_DIR"):
        pytest.skip("ESC10_DIR is not set: no real audio on this machine")
    return Path(os.environ["ESC10_DIR"])
