"""What the tests of more than one package need."""

from __future__ import annotations

import os
import shutil
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


def checkout_files() -> list[str]:
    """What git has or would add, relative to the top of the checkout."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def copy_checkout(folder: Path) -> None:
    """Copy what a fresh clone would have into a folder."""
    for name in checkout_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)


@pytest.fixture(scope="session")
def esc10_dir() -> Path:
    """The ESC-10 folder of the environment variable ESC10_DIR."""
    if not os.environ.get("ESC10_DIR"):
        pytest.skip("ESC10_DIR is not set: no real audio on this machine")
    return Path(os.environ["ESC10_DIR"])


@pytest.fixture(scope="session")
def teachers_dir() -> Path:
    """The folder of published weights of the environment variable TEACHERS_DIR: a folder for each project."""
    if not os.environ.get("TEACHERS_DIR"):
        pytest.skip("TEACHERS_DIR is not set: no published weights on this machine")
    return Path(os.environ["TEACHERS_DIR"])
