"""The rules of the house, so that nobody has to remember them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, checkout_files

ROOMS = ["runtime", "complexity", "train", "export", "benchmarks"]  # a room imports those to its left
MODULES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def _imports(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_to_the_left(path):
    room = ROOMS.index(path.relative_to(ROOT).parts[0])
    for name in _imports(path):
        top = name.split(".")[0]
        assert top not in ROOMS[room + 1 :], f"{_name(path)} imports {name}, a room to its right"


def test_runtime_never_names_a_heavy_package():
    heavy = {"torch", "onnx", "lightning", "torchaudio", "matplotlib", "torchao"}
    for path in MODULES:
        tops = {name.split(".")[0] for name in _imports(path)}
        if path.relative_to(ROOT).parts[0] == "runtime":
            assert not tops & heavy, f"{_name(path)} imports {tops & heavy}"


def test_only_one_file_of_the_runtime_touches_onnxruntime():
    users = {_name(path) for path in MODULES if "onnxruntime" in {n.split(".")[0] for n in _imports(path)}}
    assert {user for user in users if user.startswith("runtime")} == {"runtime/model/session.py"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_door_plate_is_short(room):
    text = (ROOT / room / "__init__.py").read_text()
    assert len(text.splitlines()) <= 15
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("room", ROOMS)
def test_importing_a_room_is_silent_and_light(room):
    probe = (
        f"import sys, threading; import {room}; "
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
import importlib, pkgutil, sys
for name in ("torch", "onnx", "lightning", "matplotlib", "torchaudio", "h5py"):
    sys.modules[name] = None
import runtime
for module in pkgutil.walk_packages(runtime.__path__, "runtime."):
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
