"""The unit and the container file: what they start exists, and what they promise holds."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

import runtime
from runtime.cli.main import _parser
from runtime.devices.microphone import _RETRY_MAX_S
from tests.conftest import ROOT

DEPLOY = Path(runtime.__file__).parent / "deploy"


def unit() -> dict[str, str]:
    lines = (DEPLOY / "tinyscene.service").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]\w+=", line))


def container() -> dict[str, str]:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    return dict(line.split(" ", 1) for line in lines if re.match(r"(ENTRYPOINT|CMD|ENV|USER) ", line))


def test_the_unit_starts_a_command_that_exists() -> None:
    python, *arguments = shlex.split(unit()["ExecStart"])
    assert python.endswith("/bin/python") and arguments[:2] == ["-m", "runtime"]
    assert _parser().parse_args(arguments[2:]).command == "listen"


def test_the_unit_is_one_that_notifies_and_waits_long_enough() -> None:
    values = unit()
    assert values["Type"] == "notify" and values["Restart"] == "always"
    assert int(values["WatchdogSec"]) > 2 * _RETRY_MAX_S
    assert values["SuccessExitStatus"] == "130" and values["PrivateNetwork"] == "yes"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    here = tmp_path / "tinyscene.service"
    python = shutil.which("true")
    text = (DEPLOY / "tinyscene.service").read_text().replace("/opt/tinyscene/bin/python", str(python))
    here.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(here)], capture_output=True, text=True, timeout=60
    )
    complaints = [line for line in done.stderr.splitlines() if here.name in line]
    assert complaints == []


def test_the_files_in_the_container_are_enough_to_classify_and_no_more(
    tmp_path: Path, noise: np.ndarray
) -> None:
    # not imported: setuptools puts a distutils of its own in the place of one that others may have imported
    if (
        find_spec("pip") is None
        or find_spec("setuptools") is None
        or int(version("setuptools").split(".")[0]) < 77
    ):
        pytest.skip("pip and setuptools 77 are not installed")
    copies = re.findall(r"^COPY (.+) (/src\S*)$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    for sources, target in copies:
        for source in map(ROOT.joinpath, sources.split()):
            place = tmp_path / target[1:]
            assert source.resolve() != ROOT  # where recordings and environments lie
            if source.is_dir():
                shutil.copytree(source, place)
            else:
                place.mkdir(exist_ok=True)
                shutil.copy(source, place)
    site = tmp_path / "site"
    install = ["-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(site)]
    subprocess.run([sys.executable, *install, str(tmp_path / "src")], check=True, timeout=120)
    assert {path.name for path in site.iterdir() if path.suffix != ".dist-info"} == {"runtime", "bin"}
    soundfile.write(tmp_path / "a.wav", noise, 32_000)
    done = subprocess.run(
        [sys.executable, "-m", "runtime", "classify", "a.wav"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and "the clip: " in done.stdout


def test_the_container_starts_a_command_that_exists() -> None:
    values = container()
    command = json.loads(values["ENTRYPOINT"]) + json.loads(values["CMD"])
    assert command[:3] == ["python", "-m", "runtime"]
    assert _parser().parse_args(command[3:]).command == "listen"
    assert "ORT_DISABLE_TELEMETRY=1" in values["ENV"] and not values["USER"].startswith("0")
