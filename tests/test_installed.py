"""The sdist and the wheel, used outside the checkout in a folder with a ``train.py`` of the user."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import checkout_files, copy_checkout

BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
TINY = [
    "--model.student=cp_mobile",
    "--model.arguments={base_channels: 8, channels_multiplier: 1.5, expansion_rate: 2.0}",
    "--model.frontend=cp_mel", "--data.corpus=train.data.Synthetic", "--data.corpus.train_clips=20",
    "--data.corpus.val_clips=10", "--data.corpus.test_clips=10", "--data.batch_size=5",
    "--trainer.max_epochs=1", "--trainer.accelerator=cpu",
]  # fmt: skip


def _build(kind: str, source: Path, output: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", BUILD, f"build_{kind}", output],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return output / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from the sdist, so that a file which the sdist lacks is missed."""
    # not imported: it would replace the distutils that others have imported
    if find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed")
    folder = tmp_path_factory.mktemp("build")
    copy_checkout(folder / "source")
    with tarfile.open(_build("sdist", folder / "source", folder)) as sdist:
        # Python 3.10 and 3.11 have the filter from their later patch releases on
        options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        sdist.extractall(folder / "unpacked", **options)
    (unpacked,) = (folder / "unpacked").iterdir()
    return _build("wheel", unpacked, folder)


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """A folder that the wheel is installed into; what it depends on comes from this environment."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    done = subprocess.run([*pip, "--target", folder, wheel], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """A user's folder with modules named like packages of this project, and a recording."""
    for name in ("train", "complexity", "export", "runtime"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the module of the user was imported')\n")
    noise = np.random.default_rng(0).standard_normal(3 * 16_000) * 0.05
    soundfile.write(tmp_path / "recording.wav", noise, 16_000)
    return tmp_path


def _run(command: list[object], cwd: Path, site: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    arguments = list(map(str, command))
    return subprocess.run(
        arguments, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def tinyscene(site, elsewhere):
    """Run the installed console script in the user's folder."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return _run([site / "bin" / "tinyscene", *arguments], elsewhere, site)

    return run


def test_the_wheel_holds_every_module_recipe_model_and_type_marker(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    packages = ("runtime/", "complexity/", "train/", "export/")
    folders = ("runtime/deploy/", "runtime/server/static/")
    expected = {
        name for name in checkout_files()
        if name.startswith(packages)
        and (Path(name).suffix in (".py", ".typed", ".yaml", ".onnx") or name.startswith(folders))
    }  # fmt: skip
    assert expected - inside == set()
    assert {f"{package}py.typed" for package in packages} <= inside
    assert not any(name.startswith("tests/") for name in inside)


def test_classify_works_outside_the_checkout(tinyscene):
    done = tinyscene("classify", "recording.wav")
    assert done.returncode == 0, done.stderr
    assert "recording.wav" in done.stdout and "16000 -> 32000 Hz" in done.stdout


def test_python_m_runtime_is_the_same_as_the_command(tinyscene, site, elsewhere):
    (elsewhere / "runtime.py").unlink()  # `python -m` has the current folder on its path
    done = _run([sys.executable, "-m", "runtime", "classify", "recording.wav", "--json"], elsewhere, site)
    assert done.returncode == 0, done.stderr
    assert done.stdout == tinyscene("classify", "recording.wav", "--json").stdout


def test_help_lists_a_command_of_every_package(tinyscene):
    done = tinyscene("--help")
    assert done.returncode == 0, done.stderr
    names = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert {"classify", "listen", "check", "compare", "fit", "sweep", "export", "verify"} <= names


@pytest.mark.parametrize(
    ("command", "wrong"), [("classify", ()), ("check", ()), ("export", ("--quantize=no",)), ("tag", ())]
)
def test_usage_errors_name_the_command_that_was_typed(tinyscene, command, wrong):
    done = tinyscene(command, *wrong)
    assert done.returncode == 2
    assert f"tinyscene {command}: error: " in done.stderr and "python -m" not in done.stderr


def test_help_works_where_the_runtime_is_installed_alone(site, elsewhere):
    """As in the container, which has the entry points of packages that it leaves out."""
    code = """
import sys
class LeftOut:
    def find_spec(self, name, *_):
        if name in ("complexity", "train", "export"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, LeftOut())
from runtime.cli.tinyscene import dispatch
sys.exit(dispatch(["--help"]))
"""
    (elsewhere / "runtime.py").unlink()  # `python -c` has the current folder on its path
    done = _run([sys.executable, "-c", code], elsewhere, site)
    assert done.returncode == 0, done.stderr
    assert "listen" in done.stdout and "fit" not in done.stdout


def test_an_unknown_command_names_the_nearest(tinyscene):
    done = tinyscene("clasify", "recording.wav")
    assert done.returncode == 2 and "'classify'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sweep_starts_its_trainings_beside_a_train_py(tinyscene, elsewhere, site):
    recipe = site / "train" / "recipes" / "synthetic_demo.yaml"
    changes = [change.lstrip("-") for change in TINY if "={" not in change]
    done = tinyscene(
        "sweep", "--config", recipe, "--seeds", 0, "--override", *changes, "-o", elsewhere / "sweep"
    )
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "sweep" / "sweep.csv").is_file()


def test_two_processes_train_beside_a_train_py(tinyscene, elsewhere):
    done = tinyscene("fit", *TINY, "--trainer.devices=2", "--trainer.strategy=ddp")
    assert done.returncode == 0, done.stderr
    checked = tinyscene("check", "model.pt")
    assert checked.returncode == 0, checked.stderr
