"""Small INT8 students, and libraries that a compiler of this machine made of them."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.c.library import write_library
from export.pipeline import export_model
from runtime.model.native_session import NativeSession
from tests.small_students import ARGUMENTS, make_windows
from train.checkpoints.model_pt import Checkpoint
from train.networks import build

STUDENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "cp_mobile": ("cp_mobile", ARGUMENTS),
    "baseline_2024": ("baseline_2024", {"n_classes": 3, "base_channels": 16}),
    "tf_sepnet": ("tf_sepnet", {"n_classes": 3, "base_channels": 8, "depth": 16}),
    "bc_resnet": ("bc_resnet", {"n_classes": 3, "base_channels": 8}),
    "cnn3": ("cnn3", {"n_classes": 3, "base_channels": 4, "kernel_size": 5}),
}


@pytest.fixture(scope="session")
def student(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """From the name of a student to its INT8 file; each is trained for a few steps, once."""
    folder, done = tmp_path_factory.mktemp("students"), {}

    def make(name: str) -> Path:
        if name not in done:
            done[name] = _export(checkpoint, *STUDENTS[name], folder / f"{name}.onnx")
        return done[name]

    return make


def _export(base: Checkpoint, student: str, arguments: dict[str, Any], path: Path) -> Path:
    torch.manual_seed(0)
    network = build(student, arguments)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for step in range(20):
        x, targets = make_windows(24, step)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x), targets).backward()
        optimizer.step()
    trained = replace(base, student=student, arguments=arguments, state_dict=network.state_dict())
    assert export_model(trained, path, method="ptq", tolerance=1.0).verification.passed
    return path


def need(*tools: str) -> None:
    """Skip a test where a program is not installed, or a compiler has no C library to compile against."""
    for tool in tools:
        if reason := _missing(tool):
            pytest.skip(reason)


@lru_cache
def _missing(tool: str) -> str:
    if shutil.which(tool) is None:
        return f"{tool} is not installed"
    if tool.endswith(("gcc", "clang")):
        command = [tool, "-x", "c", "-fsyntax-only", "-"]
        done = subprocess.run(
            command, input="#include <string.h>\n", capture_output=True, text=True, check=False
        )
        if done.returncode:
            return f"{tool} lacks the headers of its C library"
    return ""


@pytest.fixture(scope="session")
def compiler() -> str:
    need("gcc", "make")
    return "gcc"


@pytest.fixture(scope="session")
def library(
    student: Callable[[str], Path], compiler: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """From the name of a student to its shared library."""
    done: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            write_library(student(name), folder)
            done[name] = compile_library(folder)
        return done[name]

    return make


def compile_library(folder: Path, *options: str, target: str = "libmodel.so") -> Path:
    """Run make with -O1, which compiles in less time than -O2; the numbers are the same (`test_build.py`)."""
    command = ["make", "-s", "-C", str(folder), "CFLAGS=-O1", *options, target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / target


def kinds_of(session: NativeSession) -> list[str]:
    """The kernels that this machine has."""
    names = ("portable C", "AVX2", "AVX-512 VNNI", "NEON", "NEON dot product")
    return [name for name in names if session._library.model_use(name.encode())]


def push(session: NativeSession, samples: np.ndarray, chunk: Callable[[], int]) -> np.ndarray:
    """The scores of all windows of a stream in C, one chunk of samples after the other."""
    native = session._library
    native.model_push.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    native.model_scores.restype = ctypes.POINTER(ctypes.c_float)
    native.model_reset()
    scores, position = [], 0
    while position < len(samples):
        part = np.ascontiguousarray(samples[position : position + chunk()])
        position += len(part)
        if native.model_push(part.ctypes.data, len(part)):
            scores.append(np.ctypeslib.as_array(native.model_scores(), (len(session.spec.labels),)).copy())
    return np.array(scores)
