"""The packaged model on CPUs that QEMU emulates: self-test, log-mel and stream, to the bit."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from export.c.library import write_library
from tests.conftest import ROOT
from tests.export.c.conftest import compile_library, need

PROBE = Path(__file__).with_name("stream_probe.c")
KINDS = ("portable C", "AVX2", "AVX-512 VNNI", "NEON", "NEON dot product")
CPUS = {
    "aarch64": ("aarch64-linux-gnu-gcc", ["qemu-aarch64-static"]),
    "Cortex-A53": ("aarch64-linux-gnu-gcc", ["qemu-aarch64-static", "-cpu", "cortex-a53"]),
    "Cortex-A76": (
        "aarch64-linux-gnu-gcc -march=armv8.2-a+dotprod",
        ["qemu-aarch64-static", "-cpu", "cortex-a76"],
    ),
    "Haswell": ("gcc", ["qemu-x86_64-static", "-cpu", "Haswell"]),
    "without AVX": ("gcc", ["qemu-x86_64-static", "-cpu", "Nehalem"]),
}


@pytest.fixture(scope="module")
def build(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """From a compiler to a folder with ``self_test`` and ``probe``, linked statically."""
    done: dict[str, Path] = {}

    def make(cross: str) -> Path:
        if cross not in done:
            folder = tmp_path_factory.mktemp("cpus")
            write_library(ROOT / "runtime" / "models" / "esc10.onnx", folder)
            options = (f"CC={cross}", "CFLAGS=-O2 -static")
            compile_library(folder, *options, target="self_test")
            compile_library(folder, *options, target="libmodel.a")
            command = [
                *cross.split(),
                "-O2",
                "-static",
                f"-I{folder}",
                PROBE,
                folder / "libmodel.a",
                "-o",
                folder / "probe",
            ]
            subprocess.run(command, check=True)
            done[cross] = folder
        return done[cross]

    return make


def _run(*command: str | Path) -> str:
    done = subprocess.run(["timeout", "120", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _by_kind(printed: str) -> dict[str, list[str]]:
    """The lines that every kind of kernels printed."""
    found: dict[str, list[str]] = {}
    for line in printed.splitlines():
        if line in KINDS:
            found[line] = []
        else:
            found[list(found)[-1]].append(line)
    return found


@pytest.mark.parametrize("cpu", CPUS)
def test_it_gives_the_bytes_of_this_machine(build, cpu):
    cross, emulator = CPUS[cpu]
    need(cross.split()[0], emulator[0])
    folder = build(cross)
    printed = _run(*emulator, folder / "self_test")
    assert "FAIL" not in printed and "portable C, vector 3: PASS" in printed
    assert ("AVX2, vector 3: PASS" in printed) == (cpu == "Haswell") and "AVX-512" not in printed
    assert ("NEON dot product, vector 3: PASS" in printed) == ("dotprod" in cross)
    expected = _by_kind(_run(build("gcc") / "probe", "portable C"))["portable C"]
    assert len(expected) >= 4
    actual = _by_kind(_run(*emulator, folder / "probe", *KINDS))
    assert "portable C" in actual
    for kind, lines in actual.items():
        assert lines == expected, kind
