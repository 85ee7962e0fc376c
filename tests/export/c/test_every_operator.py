"""Every operator alone, on random tensors: all kinds of kernels, here and on emulated CPUs, against numpy."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.export.c.conftest import compile_library, need
from tests.export.c.operator_cases import Bytes, Cases, make_cases

PROBE = Path(__file__).with_name("operator_probe.c")
_AT_A_TIME = 500
_LACKS_KERNELS = 3  # exit code of the probe
X86 = ("portable C", "AVX2", "AVX-512 VNNI")


@dataclass(frozen=True)
class Cpu:
    """Where the probe runs.

    Attributes:
        compiler: with its options.
        emulator: its command; none for this machine.
        kinds: kernels that must be there.
        tensors: random ones; 0 leaves the CPU to the slow run.
        many: of the slow run.
    """

    compiler: str
    emulator: tuple[str, ...]
    kinds: tuple[str, ...]
    tensors: int
    many: int


_AARCH64 = "aarch64-linux-gnu-gcc"
CPUS = {
    "here": Cpu("gcc", (), ("portable C",), 100, 10_000),
    "Haswell": Cpu("gcc", ("qemu-x86_64-static", "-cpu", "Haswell"), ("portable C", "AVX2"), 20, 3_000),
    "Cortex-A53": Cpu(
        _AARCH64, ("qemu-aarch64-static", "-cpu", "cortex-a53"), ("portable C", "NEON"), 0, 2_000
    ),
    "Cortex-A76": Cpu(
        f"{_AARCH64} -march=armv8.2-a+dotprod",
        ("qemu-aarch64-static", "-cpu", "cortex-a76"),
        ("portable C", "NEON dot product"), 20, 2_000,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def cases() -> Cases:
    return make_cases(seed=1)


@pytest.fixture(scope="module")
def build(cases: Cases, compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """From a compiler to the probe with the network of all cases, linked statically."""
    done: dict[str, Path] = {}

    def make(cross: str) -> Path:
        if cross not in done:
            folder = tmp_path_factory.mktemp("operators")
            cases.write(folder)
            library = compile_library(folder, f"CC={cross}", "CFLAGS=-O2 -static", target="libmodel.a")
            done[cross] = folder / "probe"
            command = [*cross.split(), "-O2", "-static", f"-I{folder}", PROBE, library, "-o", done[cross]]
            subprocess.run(command, check=True)
        return done[cross]

    return make


def run(probe: Path, emulator: tuple[str, ...], kind: str, inputs: Bytes, logits: int) -> Bytes | None:
    """The bytes of one kind of kernels; None where the machine lacks it."""
    done = subprocess.run([*emulator, probe, kind], input=inputs.tobytes(), capture_output=True, check=False)
    if done.returncode == _LACKS_KERNELS:
        return None
    assert done.returncode == 0, done.stderr
    return np.frombuffer(done.stdout, np.uint8).reshape(len(inputs), logits)


def compare(cases: Cases, build: Callable[[str], Path], cpu: str, tensors: int) -> None:
    """Run random tensors with every kind of kernels of a CPU."""
    of = CPUS[cpu]
    need(of.compiler.split()[0], *of.emulator[:1])
    probe, found = build(of.compiler), set()
    for part, start in enumerate(range(0, tensors, _AT_A_TIME)):
        inputs = cases.inputs(min(_AT_A_TIME, tensors - start), seed=part)
        expected = cases.expected(inputs)
        for kind in of.kinds if of.emulator else X86:
            actual = run(probe, of.emulator, kind, inputs, expected.shape[1])
            if actual is not None:
                found.add(kind)
                assert not cases.differing(actual, expected), kind
    assert found >= set(of.kinds)


@pytest.mark.parametrize("cpu", [name for name, cpu in CPUS.items() if cpu.tensors])
def test_it_gives_the_bytes_of_the_reference(cases, build, cpu):
    compare(cases, build, cpu, CPUS[cpu].tensors)


@pytest.mark.slow
@pytest.mark.parametrize("cpu", CPUS)
def test_it_gives_the_bytes_of_the_reference_on_thousands_of_tensors(cases, build, cpu):
    compare(cases, build, cpu, CPUS[cpu].many)


def test_the_cases_reach_many_results(cases):
    expected = cases.expected(cases.inputs(100, seed=7))
    alike = {name for name, place in cases.places.items() if len(np.unique(expected[:, place])) < 3}
    extremes = (
        "requantization",
        "GRN 3",
        "mean 0, 1073741824",
        "mean 4, 1077952576",
    )  # saturated, or constant
    assert all(name.startswith(extremes) for name in alike)
