"""The rules of the project, so that nobody has to remember them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT, checkout_files

PACKAGES = ["runtime", "complexity", "train", "export", "benchmarks"]  # each imports those to its left
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
FOLDERS = sorted({path.parent for path in MODULES})

MODULES_PER_FOLDER = 14
LINES_PER_FUNCTION = 61  # one parser of export; the next is 56
LINES_PER_INIT = 14
MORE_MODULES = {
    "train/training": 16,  # augmentation and its random draws are six of them
    "benchmarks": 16,  # each is a command of its own, `python -m benchmarks.NAME`
}
LONGER_INITS = {
    "runtime/__init__.py": 15,  # it exports lazily: `import runtime` loads neither scipy nor onnxruntime
    "train/data/__init__.py": 25,  # recipes name every corpus as train.data.NAME
    "train/students/__init__.py": 24,  # the names that recipes use
    "train/teachers/__init__.py": 26,  # the same
}
# The field has other words for what these once named here (CONTRIBUTING.md, glossary)
NOT_IDENTIFIERS = {
    "door", "doors", "house", "rooms", "plate", "heard", "hears", "hearing", "ear", "told", "tells",
    "lessons", "twin", "seal", "sealed", "stamp", "weigh", "wanted", "kept", "golden", "goldens",
}  # fmt: skip
ALLOWED_IDENTIFIERS: set[str] = set()


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""


def _top_level(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in _imports(path)}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_package_imports_only_packages_to_its_left(path):
    to_the_right = PACKAGES[PACKAGES.index(path.relative_to(ROOT).parts[0]) + 1 :]
    assert not _top_level(path) & set(to_the_right)


def test_no_import_is_relative():
    for path in MODULES:
        levels = [node.level for node in ast.walk(_tree(path)) if isinstance(node, ast.ImportFrom)]
        assert not any(levels), _name(path)


def test_no_module_is_named_like_a_package_that_it_imports():
    for path in MODULES:
        assert path.stem not in _top_level(path) - set(PACKAGES), _name(path)


def test_runtime_never_names_a_heavy_package():
    heavy = {"torch", "onnx", "lightning", "torchaudio", "matplotlib", "torchao"}
    for path in MODULES:
        if path.is_relative_to(ROOT / "runtime"):
            assert not _top_level(path) & heavy, _name(path)


def test_only_one_file_of_the_runtime_imports_onnxruntime():
    users = {_name(path) for path in MODULES if "onnxruntime" in _top_level(path)}
    assert {user for user in users if user.startswith("runtime")} == {"runtime/model/session.py"}


@pytest.mark.parametrize("folder", FOLDERS, ids=_name)
def test_a_folder_has_a_short_init_with_a_docstring_and_about_a_dozen_modules(folder):
    init = folder / "__init__.py"
    text = init.read_text()
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= LONGER_INITS.get(_name(init), LINES_PER_INIT)
    modules = [path for path in folder.glob("*.py") if path != init]
    assert len(modules) <= MORE_MODULES.get(_name(folder), MODULES_PER_FOLDER)


def test_no_function_is_long():
    for path in MODULES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= LINES_PER_FUNCTION, f"{_name(path)}: {node.name} has {lines} lines"


def _identifiers(path: Path) -> Iterator[str]:
    """Names of modules, classes, functions, arguments, variables and attributes; not the text of strings."""
    yield path.stem
    for node in ast.walk(_tree(path)):
        for field in ("id", "attr", "name", "arg", "asname"):
            if isinstance(name := getattr(node, field, None), str):
                yield name


def _words(identifier: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_identifiers_use_the_words_of_the_field(path):
    found = {name for name in _identifiers(path) if _words(name) & NOT_IDENTIFIERS} - ALLOWED_IDENTIFIERS
    assert not found, f"see the glossary in CONTRIBUTING.md: {sorted(found)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_is_silent_and_light(package):
    probe = (
        f"import sys, threading; import {package}; "
        "assert threading.active_count() == 1; "
        "assert not {'torch', 'onnxruntime', 'onnx', 'matplotlib'} & set(sys.modules), sys.modules.keys()"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_runtime_works_where_heavy_packages_cannot_be_imported():
    """As on a Raspberry Pi: every module of the runtime imports with torch and onnx out of reach."""
    probe = """
import importlib.util, pkgutil, sys
for name in ("torch", "onnx", "lightning", "matplotlib", "torchaudio", "h5py"):
    sys.modules[name] = None
import runtime
for module in pkgutil.walk_packages(runtime.__path__, "runtime."):
    if module.name.startswith("runtime.server.web") and not importlib.util.find_spec("starlette"):
        continue  # of the extra serve
    if module.name != "runtime.__main__":
        importlib.import_module(module.name)
"""
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_path_of_a_private_machine_is_committed():
    private = re.compile(rb"/(?:home|root|Users|work|mnt)/[a-z]")
    for name in checkout_files():
        path = ROOT / name
        if path != Path(__file__):
            found = private.search(path.read_bytes())
            assert not found, f"{name} holds {found and found.group()!r}"
