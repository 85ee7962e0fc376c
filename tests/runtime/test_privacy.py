"""A run leaves no file behind and opens no socket: not even ONNX Runtime, which would by default."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

# ONNX Runtime sends no telemetry where one of these says that it runs in CI
CI_VARIABLES = (
    "CI",
    "TF_BUILD",
    "GITHUB_ACTIONS",
    "BUILD_ID",
    "JENKINS_URL",
    "GITLAB_CI",
    "TRAVIS",
    "CIRCLECI",
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "tmp").mkdir(parents=True)
    return home


def user_environment(home: Path) -> dict[str, str]:
    """That of somebody at home: no CI, nothing switched off by hand, folders of their own."""
    drop = {*CI_VARIABLES, "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}
    inherited = {key: value for key, value in os.environ.items() if key not in drop}
    return {**inherited, "HOME": str(home), "TMPDIR": str(home / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}


def commands(model_path: Path, wav: Path) -> list[list[str]]:
    runtime = [sys.executable, "-m", "runtime"]
    model = ["--model", str(model_path)]
    return [
        [*runtime, "classify", str(wav), *model],
        [*runtime, "listen", "-", *model],
    ]


@pytest.fixture
def wav(tmp_path: Path, noise: np.ndarray) -> Path:
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise, 32_000)
    return path


@pytest.mark.parametrize("which", [0, 1], ids=["classify", "listen"])
def test_no_file_is_left_and_no_socket_opened(home: Path, wav: Path, model_path: Path, which: int) -> None:
    command = commands(model_path, wav)[which]
    trace = home.parent / "trace"
    traced = shutil.which("strace") is not None
    if traced:
        command = ["strace", "-f", "-qq", "-e", "trace=socket", "-o", str(trace), *command]
    environment = user_environment(home) | {"PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        command, cwd=home, env=environment, input=wav.read_bytes()[44:], capture_output=True, timeout=120
    )
    if traced and b"ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == [home / "tmp"]
    if traced:
        assert trace.read_text() == ""
