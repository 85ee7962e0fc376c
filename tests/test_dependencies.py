"""What a package imports is declared where its user installs it from."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.conftest import ROOT

tomllib = pytest.importorskip("tomllib")  # Python 3.11 and later
requirements = pytest.importorskip("packaging.requirements")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PACKAGES = ["runtime", "complexity", "train", "export", "benchmarks", "tests"]
CALLS = {"require", "import_module", "importorskip"}  # functions that import the module that they are given
DISTRIBUTIONS = {"yaml": "pyyaml", "google": "protobuf"}  # where they are not called like the module
MAY_USE = {  # extras beside the dependencies that every installation has
    "runtime": ["mic", "archive", "ray", "serve", "mqtt"],
    "complexity": ["complexity", "tflite"],
    "train": ["train"],
    "export": ["train"],
    "benchmarks": ["train"],
    "tests": ["dev"],
}
ELSEWHERE = {  # what one extra more brings; where it is missing a sentence names that extra
    "complexity": {"torch", "torchinfo"},  # a model.pt is measured by those who can train
    # peers, in environments that the benchmarks make; torchaudio is one of [dev]
    "benchmarks": {
        "openvino",
        "ncnn",
        "ai-edge-litert",
        "librosa",
        "executorch",
        "sherpa-onnx",
        "torchaudio",
    },
    "tests": {"nessi", "wandb", "ray", "transformers"},  # the tests that use them bring their own or skip
}


def _modules(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or later."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in CALLS:
                yield str(node.args[0].value)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _imported(package: str) -> dict[str, str]:
    """Distributions that a package imports, each with a file that does."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        for module in _modules(path):
            top = module.partition(".")[0]
            if top and top not in sys.stdlib_module_names and top not in PACKAGES:
                found[_normal(DISTRIBUTIONS.get(top, top))] = str(path.relative_to(ROOT))
    return found


def _declared(*extras: str) -> dict[str, requirements.Requirement]:
    """Requirements of the runtime and of extras, by distribution."""
    found = {}
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in EXTRAS[extra])]
    for text in texts:
        requirement = requirements.Requirement(text)
        if requirement.name == PROJECT["name"]:
            found |= _declared(*requirement.extras)
        else:
            found[_normal(requirement.name)] = requirement
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_every_imported_package_is_declared(package):
    imported = {
        name: path for name, path in _imported(package).items()
        if name not in ELSEWHERE.get(package, set())
    }  # fmt: skip
    declared = _declared(*MAY_USE[package])
    missing = {name: path for name, path in imported.items() if name not in declared}
    assert not missing, f"not in pyproject.toml for {MAY_USE[package]}: {missing}"


def test_every_declared_package_is_imported_or_used_as_a_tool():
    """What nothing imports any more is not installed for nothing."""
    tools = {
        "mypy",
        "ruff",
        "pdoc",
        "setuptools",
        "types-pyyaml",
        "types-tqdm",
        "pytest",
        "pytest-xdist",
        "tensorboard",
        "wandb",
        "onnxscript",
    }
    imported = {name for package in PACKAGES for name in _imported(package)}
    assert set(_declared(*EXTRAS)) - imported - tools == set()


def test_torch_is_the_release_that_was_tried():
    torch = _declared("train")["torch"].specifier
    assert torch.contains("2.13.0") and torch.contains("2.13.0+cpu")
    assert not torch.contains("2.12.1") and not torch.contains("2.14.0")


def test_what_is_installed_here_is_what_is_declared():
    """So that the tests have tried the declared versions."""
    for name, requirement in _declared("dev").items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue  # the tests that need it skip and say so
        assert requirement.specifier.contains(installed, prereleases=True), f"{requirement}: {installed}"
