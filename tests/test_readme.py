"""Every command of the README runs as it is written, from the top of a checkout and in its order.

Two things are shortened in the fast test: a training runs for one epoch on few clips, and what needs the
network (pip) or a sound card is checked in other ways. The slow test runs the training in full.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import ROOT, copy_checkout

FEW = " --trainer.max_epochs=1" + "".join(
    f" --data.corpus.{split}_clips={count}" for split, count in (("train", 60), ("val", 10), ("test", 10))
)


def readme_blocks(language: str) -> list[str]:
    """The fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)


def readme_commands() -> list[str]:
    return [line.strip() for block in readme_blocks("sh") for line in block.splitlines() if line.strip()]


@pytest.fixture
def checkout(tmp_path) -> Path:
    """The files that git would hand to a newcomer, and a recording to try."""
    copy_checkout(tmp_path)
    noise = np.random.default_rng(0).standard_normal(2 * 44_100) * 0.05
    soundfile.write(tmp_path / "recording.wav", noise, 44_100)
    return tmp_path


def _run(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        command,
        shell=True,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )


def _in_folders(commands: list[str], root: Path) -> Iterator[tuple[str, Path]]:
    """Commands and the folder that the ``cd`` before them leads to; every block starts at the top."""
    folder = root
    for command in commands:
        if command.startswith("cd "):
            folder = folder / shlex.split(command)[1]
            yield command, root
        else:
            yield command, folder


def _check_commands(checkout: Path, shorten: bool) -> None:
    for block in readme_blocks("sh"):
        commands = [line.strip() for line in block.splitlines() if line.strip()]
        for command, folder in _in_folders(commands, checkout):
            if command.startswith(("pip ", "make ", "cd ")):
                continue  # `make` is what runs this test; the extras that pip is asked for are checked below
            if command.startswith("ESC10_DIR=") or " listen" in command:
                continue  # an hour of training; a microphone, which tests/runtime plays for real
            long = " train fit" in command or " train teach" in command
            done = _run(command + FEW if shorten and long else command, folder)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_every_command_runs(checkout):
    _check_commands(checkout, shorten=True)


@pytest.mark.slow
def test_every_command_runs_in_full(checkout):
    _check_commands(checkout, shorten=False)


def test_make_targets_and_extras_exist():
    makefile, project = (ROOT / "Makefile").read_text(), (ROOT / "pyproject.toml").read_text()
    for command in readme_commands():
        if command.startswith("make "):
            assert re.search(rf"^{command.split()[1]}:", makefile, re.M), command
        for extra in re.findall(r"\.\[(\w+)\]", command):
            assert re.search(rf"^{extra} = \[", project, re.M), command


def test_modules_named_in_the_text_exist():
    for module in set(re.findall(r"`python -m ([\w.]+)", (ROOT / "README.md").read_text())):
        assert importlib.util.find_spec(module), module


def test_python_example_runs(checkout):
    (block,) = readme_blocks("python")
    prelude = (
        "import numpy as np\nsample_rate = 48_000\n"
        "waveform = np.random.default_rng(0).normal(scale=0.1, size=2 * sample_rate).astype(np.float32)\n"
        "chunks = np.array_split(waveform, 7)\n"
    )
    (checkout / "example.py").write_text(prelude + block)
    done = _run("python example.py", checkout)
    assert done.returncode == 0, done.stderr
    # windows of a second, a quarter apart, in two seconds; the resampler still holds the end of the fifth
    assert len(done.stdout.splitlines()) == 4
