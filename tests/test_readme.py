"""Every command of the READMEs runs as it is written, from the top of a checkout and in its order.

The fast test shortens: a training takes a few steps on few clips; what needs the network (pip) or a sound
card is checked in other ways, and so are the benchmarks, which take minutes to hours.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from benchmarks.__main__ import COMMANDS as BENCHMARKS
from tests.conftest import ROOT, copy_checkout
from train.students import CPMobile

# In this order: each names files that those before it have made.
PACKAGES = ("train", "export", "complexity", "runtime", "benchmarks")
READMES = ["README.md", *(f"{package}/README.md" for package in PACKAGES)]
FEW = " --trainer.max_epochs=1" + "".join(
    f" --data.corpus.{split}_clips={count}" for split, count in (("train", 60), ("val", 10), ("test", 10))
)
SMALL = (
    " --trainer.max_steps=8 --model.arguments.base_channels=8 --model.arguments.channels_multiplier=1.5"
    " --model.arguments.expansion_rate=2.0"
)
SHORTER = {
    "fit --config": FEW, "teach --config": FEW, "qat --config": FEW, "fit --sounds": SMALL,
    "learn my_sounds": " --budget=tiny --steps=8",
}  # fmt: skip
ELSEWHERE = {  # what this test does not run: who does
    "pip ": "test_installed.py; the extras are checked below",
    "make ": "`make` is what runs this test",
    "ESC10_DIR=": "an hour of training",
    "python -m benchmarks ": "minutes; that the commands exist is checked below",
    "python -m benchmarks.": "minutes; that the module exists is checked below",
    "tinyscene check runtime/models/esc10.onnx --target": "a cross compiler; tests/complexity compiles",
    "tinyscene listen": "tests/runtime plays a microphone",
    "tinyscene record do": "a microphone; tests/runtime plays one",
    "tinyscene sort": "tests/runtime/capture sorts",
    "tinyscene devices": "tests/runtime plays a microphone",
    "tinyscene serve": "it does not end; tests/runtime/server serves",
    "tinyscene doctor": "tests/runtime plays a microphone",
}


def blocks(readme: str, language: str) -> list[str]:
    """The fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / readme).read_text(), re.M | re.S)


def commands(readme: str) -> list[str]:
    """The lines of all shell blocks."""
    return [line.strip() for block in blocks(readme, "sh") for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """The files that git would hand to a newcomer, audio and published weights to try, the console script."""
    folder = tmp_path_factory.mktemp("checkout")
    copy_checkout(folder)
    rng = np.random.default_rng(0)
    soundfile.write(folder / "recording.wav", rng.standard_normal(2 * 44_100) * 0.05, 44_100)
    places = ("attic", "barn", "cellar", "den", "field", "garden", "hall", "inn", "lake", "mill")
    for label, pitch_hz in (("cat", 900), ("dog", 300)):
        for place, sounds in [*((place, "my_sounds") for place in places), ("nook", "other_sounds")]:
            path = folder / sounds / label / f"{place}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            tone = np.sin(2 * np.pi * pitch_hz * np.arange(32_000) / 16_000) + rng.standard_normal(32_000)
            soundfile.write(path, 0.1 * tone, 16_000)
    torch.manual_seed(0)
    network = CPMobile(2, base_channels=8, channels_multiplier=1.8, expansion_rate=2.1)
    weights = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    lightning = {"state_dict": weights, "pytorch-lightning_version": "2.1.0"}
    torch.save(lightning, folder / "published.ckpt")
    metadata = "from setuptools import build_meta; build_meta.prepare_metadata_for_build_editable('.')"
    subprocess.run([sys.executable, "-c", metadata], cwd=folder, check=True, capture_output=True)
    script = folder / "bin" / "tinyscene"
    script.parent.mkdir()
    guarded = (
        "if __name__ == '__main__':\n    main()\n"  # as pip writes it: spawned processes import the script
    )
    script.write_text(f"#!{sys.executable}\nfrom runtime.cli.tinyscene import main\n\n{guarded}")
    script.chmod(0o755)
    return folder


def _run(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = f"{cwd / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(cwd)}
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


def _check_commands(readme: str, checkout: Path, *, shorten: bool) -> None:
    for command in commands(readme):
        if command.startswith(tuple(ELSEWHERE)):
            continue
        more = [options for verb, options in SHORTER.items() if f" {verb} " in command] if shorten else []
        done = _run(command + "".join(more), checkout)
        assert done.returncode == 0, f"{readme}: {command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("readme", READMES)
def test_every_command_runs(readme, checkout):
    _check_commands(readme, checkout, shorten=True)


@pytest.mark.slow
def test_every_command_runs_in_full(checkout):
    for readme in READMES:
        _check_commands(readme, checkout, shorten=False)


def test_make_targets_and_extras_exist():
    makefile, project = (ROOT / "Makefile").read_text(), (ROOT / "pyproject.toml").read_text()
    for readme in READMES:
        text = (ROOT / readme).read_text()
        for target in re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.M):
            assert re.search(rf"^{target}:", makefile, re.M), f"{readme}: make {target}"
        for extra in re.findall(r"\.\[([\w,]+)\]", text):
            for name in extra.split(","):
                assert re.search(rf"^{name} = \[", project, re.M), f"{readme}: {extra}"


def test_the_package_is_installed_from_the_checkout():
    """It is on no index."""
    for name in [*READMES, "runtime/deploy/README.md", "runtime/deploy/tinyscene.service"]:
        assert not re.search(r"pip install '?tinyscene", (ROOT / name).read_text()), name


def test_modules_and_commands_named_in_the_text_exist():
    listed = _command_names()
    for readme in READMES:
        text = (ROOT / readme).read_text()
        for module in re.findall(r"python -m ([a-z][\w.]+)", text):
            assert importlib.util.find_spec(module), f"{readme}: {module}"
        for name in re.findall(r"python -m benchmarks ([a-z][a-z0-9-]*)", text):
            assert name in BENCHMARKS, f"{readme}: python -m benchmarks {name}"
        used = [*commands(readme), *re.findall(r"`(tinyscene [^`]+)`", text)]
        for name in re.findall(r"^tinyscene ([a-z][\w-]*)", "\n".join(used), re.M):
            assert name in listed, f"{readme}: tinyscene {name}"


def _command_names() -> set[str]:
    from tests.test_commands import COMMANDS

    return {command.name for command in COMMANDS}


def test_links_lead_somewhere():
    for readme in [*READMES, "CONTRIBUTING.md"]:
        text = (ROOT / readme).read_text()
        for place in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" not in place and not place.startswith("#"):
                assert ((ROOT / readme).parent / place.partition("#")[0]).exists(), f"{readme}: {place}"


@pytest.mark.parametrize("readme", [readme for readme in READMES if blocks(readme, "python")])
def test_python_example_runs(readme, checkout):
    (block,) = blocks(readme, "python")
    prelude = (
        "import numpy as np\nsample_rate = 48_000\n"
        "waveform = np.random.default_rng(0).normal(scale=0.1, size=2 * sample_rate).astype(np.float32)\n"
        "chunks = np.array_split(waveform, 7)\n"
    )
    (checkout / "example.py").write_text(prelude + block)
    done = _run("python example.py", checkout)
    assert done.returncode == 0 and done.stdout, done.stderr
