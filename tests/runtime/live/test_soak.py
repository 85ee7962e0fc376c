"""A day of listening, time-warped: nothing is lost that was not taken away, and memory stays where it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def soak(hours: float, model_path: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.soak", "--hours", str(hours), "--model", str(model_path)],
        capture_output=True, text=True, timeout=3600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen: dict[str, float] = json.loads(done.stdout)
    assert seen["unexplained"] == seen["wrong"] == 0 and seen["checked"] > 0
    assert seen["device_lost"] == seen["device_back"] == seen["injected_losses"] > 0
    assert abs(seen["clock_error_s"]) < 2 and seen["growth_mb"] < 1
    return seen


def test_a_quarter_of_an_hour(model_path: Path) -> None:
    assert soak(0.25, model_path)["windows"] > 700


@pytest.mark.slow
def test_a_day(model_path: Path) -> None:
    assert soak(24, model_path)["windows"] > 80_000
