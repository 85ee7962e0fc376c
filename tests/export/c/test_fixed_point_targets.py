"""``export c --fixed-point`` on processors without an FPU, on other CPUs, and on real windows."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from complexity.cli import main as complexity_main
from export.c.library import write_library
from runtime.errors import ConfigError
from runtime.model.native_session import NativeSession
from tests.conftest import ROOT
from tests.export.c.conftest import compile_library, need
from tests.export.c.test_cortex_m import _emulate, _fading, _integers, _noise, _push

BOX = ROOT / "runtime" / "models" / "esc10.onnx"
# GCC's helpers for floats, by Arm's names and by its own
SOFT_FLOAT = re.compile(
    r"__aeabi_(?:[fd](?:r?sub|add|mul|div|neg|cmp\w+|2\w+)|c[fd]\w+|u?[il]2[fd])|__\w+[sd]f[sd]?[ifs23]*"
)
EVERY_CORE = ("cortex-m0plus", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")


@pytest.fixture(scope="module")
def folder(student, compiler, tmp_path_factory) -> Path:
    need("arm-none-eabi-gcc", "qemu-system-arm")
    folder = tmp_path_factory.mktemp("fixed")
    write_library(student("cp_mobile"), folder, fixed_point=True)
    return folder


def _symbols(folder: Path, target: str, program: str) -> list[str]:
    path = f"build-{target}/{program}.elf"
    done = _emulate(folder, target, path, "CFLAGS=-O1")
    assert done.returncode == 0, done.stderr
    command = ["arm-none-eabi-nm", folder / "cortex_m" / path]
    return [line.split()[-1] for line in subprocess.check_output(command, text=True).splitlines()]


def test_the_helpers_of_soft_float_are_recognized():
    helpers = "__aeabi_fadd __aeabi_dmul __aeabi_i2f __aeabi_f2iz __aeabi_cfcmple __aeabi_fcmpgt __addsf3"
    assert all(SOFT_FLOAT.fullmatch(name) for name in helpers.split())
    integers = "__aeabi_lmul __aeabi_uldivmod __aeabi_idiv __aeabi_ldivmod __clzsi2 __divdi3 model_scores"
    assert not any(SOFT_FLOAT.fullmatch(name) for name in integers.split())


@pytest.mark.parametrize("target", ["cortex-m4", pytest.param("cortex-m0plus", marks=pytest.mark.slow)])
def test_no_operation_in_float_is_left_in_a_firmware(folder, target):
    for program in ("firmware", "i2s"):
        symbols = _symbols(folder, target, program)
        assert "model_push_int16" in symbols
        assert not [name for name in symbols if SOFT_FLOAT.fullmatch(name)]


@pytest.mark.slow
def test_in_float32_helpers_are_linked_there(student, folder, tmp_path):
    write_library(student("cp_mobile"), tmp_path)
    assert any(SOFT_FLOAT.fullmatch(name) for name in _symbols(tmp_path, "cortex-m0plus", "firmware"))


def _check_emulated(folder: Path, target: str, *options: str) -> None:
    done = _emulate(folder, target, "test", *options)
    assert done.returncode == 0 and done.stdout.endswith("PASS\n"), done.stdout + done.stderr
    session, noise = NativeSession(compile_library(folder)), _noise()
    samples = session.spec.clip_samples
    _fading(noise, session.spec.frontend.win_length, samples)  # of the column that it computes first
    expected = _push(session, _fading(noise, samples * 3 // 2, samples))
    assert _integers(done.stdout, "window") == expected and len(expected) == 3


def test_a_cortex_m4_without_fpu_has_the_logits_of_numpy_and_of_this_machine(folder):
    _check_emulated(folder, "cortex-m4", "CFLAGS=-O1")


@pytest.mark.slow
@pytest.mark.parametrize("target", EVERY_CORE)
def test_the_model_in_the_box_on_every_core(folder, tmp_path, target):
    write_library(BOX, tmp_path, fixed_point=True)
    _check_emulated(tmp_path, target)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler_options", "emulator"),
    [
        ("CC=aarch64-linux-gnu-gcc -march=armv8.2-a+dotprod", "qemu-aarch64-static"),
        ("CC=gcc", "qemu-x86_64-static -cpu Haswell"),
        ("CC=clang", ""),
        ("CC=gcc CFLAGS=-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all", ""),
    ],
    ids=["aarch64", "Haswell", "clang", "sanitizers"],
)
def test_the_self_test_passes_elsewhere(compiler, tmp_path, compiler_options, emulator):
    write_library(BOX, tmp_path, fixed_point=True)
    cc, _, flags = compiler_options.removeprefix("CC=").partition(" CFLAGS=")
    need(cc.split()[0], *emulator.split()[:1])
    static = "-O2 -static" if emulator else "-O2"
    program = compile_library(tmp_path, f"CC={cc}", f"CFLAGS={flags or static}", target="self_test")
    done = subprocess.run([*emulator.split(), program], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "FAIL" not in done.stdout, done.stdout + done.stderr
    assert "portable C, window of samples: PASS" in done.stdout


@pytest.mark.slow
def test_the_arduino_layout_compiles(compiler, tmp_path):
    write_library(BOX, tmp_path, layout="arduino", fixed_point=True)
    for source in sorted((tmp_path / "src").glob("*.c")):
        command = [
            "gcc",
            "-std=gnu11",
            "-DTS_NO_SIMD",
            "-Wall",
            "-Wextra",
            "-Werror",
            f"-I{tmp_path / 'src'}",
        ]
        subprocess.run([*command, "-c", source, "-o", os.devnull], check=True)


@pytest.mark.slow
def test_labels_of_real_windows_are_those_of_float32_at_every_level():
    if not os.environ.get("ESC10_DIR"):
        pytest.skip("ESC10_DIR is not set")
    from benchmarks.fixed_point import measure

    for name, result in measure(BOX, None, clips=60).items():
        assert result["rms_error_db"] < 0.01 and result["greatest_difference_steps"] <= 4, name
        assert result["labels_equal"]["fixed point and 16 bits"] >= 0.995, name
        assert np.isclose(result["accuracy"]["fixed point"], result["accuracy"]["16 bits"], atol=0.005), name


def test_check_wants_a_target_with_the_option():
    with pytest.raises(ConfigError, match="--fixed-point"):
        complexity_main(["check", str(BOX), "--fixed-point"])


@pytest.mark.slow
def test_check_measures_a_firmware_in_fixed_point(capsys):
    assert complexity_main(["check", str(BOX), "--target", "cortex-m4", "--fixed-point", "--ram", "128"]) == 0
    assert "On cortex-m4, in fixed point" in capsys.readouterr().out.replace("\n", " ")
