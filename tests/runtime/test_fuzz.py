"""Thousands of damaged files: no traceback, no hang, no hunger (`tests.runtime.fuzz`)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def fuzz(what: str, count: int, model_path: Path, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.fuzz", what, str(count), str(model_path), str(folder)],
        capture_output=True, text=True, timeout=3600,
    )  # fmt: skip
    assert done.returncode == 0, f"the process died: {done.returncode}"
    result = json.loads(done.stdout)
    assert set(result["outcomes"]) <= {"0", "2"}
    assert sum(result["outcomes"].values()) == count and result["outcomes"]["2"] > count / 10
    assert result["slowest_s"] < 5 and result["peak_mb"] < 300


@pytest.mark.parametrize(("what", "count"), [("audio", 200), ("model", 100)])
def test_some_damaged_files(tmp_path: Path, model_path: Path, what: str, count: int) -> None:
    fuzz(what, count, model_path, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("what", "count"), [("audio", 10_000), ("model", 2_000)])
def test_many_damaged_files(tmp_path: Path, model_path: Path, what: str, count: int) -> None:
    fuzz(what, count, model_path, tmp_path)
