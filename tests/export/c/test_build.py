"""How the exported folder compiles: flags, changes of them, files of others in it, C++, and two libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from export.c.library import write_library
from tests.conftest import ROOT
from tests.export.c.conftest import compile_library, need
from tests.export.c.test_operators import write_random_network


@pytest.fixture
def folder(compiler: str, tmp_path: Path) -> Path:
    write_random_network(3, 64, tmp_path / "c")
    return tmp_path / "c"


@pytest.mark.parametrize("flags", ["-O0", "-O1 -funsigned-char"])
def test_other_flags_give_the_same_numbers(folder, flags):
    program = compile_library(folder, f"CFLAGS={flags}", target="self_test")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "PASS" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "failing"),
    [
        ("ts_front_end_core.h", "(log - MODEL_MEAN)", "(log)", "log-mel"),
        ("model.c", "band * MODEL_FRAMES + t", "(band + 1) * MODEL_FRAMES - 1 - t", "window of samples"),
    ],
    ids=["mean", "frames in reverse"],
)
def test_the_self_test_finds_a_front_end_that_is_wrong(compiler, tmp_path, file, old, new, failing):
    write_library(ROOT / "runtime" / "models" / "esc10.onnx", tmp_path)
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new))
    program = compile_library(tmp_path, "CFLAGS=-O0 -DTS_NO_SIMD", target="self_test")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"portable C, {failing}: FAIL" in done.stdout
    assert "vector 3: PASS" in done.stdout


def test_other_flags_compile_everything_anew(folder):
    times = []
    for flags in ("-O0", "-O0", "-O0 -DNAME='\"x y\"'"):
        compile_library(folder, f"CFLAGS={flags}", target="libmodel.a")
        times.append([(folder / name).stat().st_mtime_ns for name in ("model.o", "libmodel.a")])
    assert times[0] == times[1]
    assert all(later > earlier for earlier, later in zip(times[1], times[2], strict=True))


def test_a_program_of_the_user_is_no_part_of_a_firmware(folder):
    (folder / "main.c").write_text("#error not a part of the library\n")
    command = ["make", "-n", "-C", folder / "cortex_m", "size"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "../model.c" in printed and "main.c" not in printed


def test_a_program_in_cplusplus_calls_the_library(folder, tmp_path):
    need("g++")
    library = compile_library(folder, "CFLAGS=-O0")
    (tmp_path / "main.cpp").write_text(
        '#include "model.h"\n#include "model_library.h"\n#include "model_spec.h"\n'
        "int main() { return model_interface() == 1 && model_spec[0] == '{' ? 0 : model_labels[0][0]; }\n"
    )
    program = tmp_path / "main"
    command = ["g++", f"-I{folder}", tmp_path / "main.cpp", library, f"-Wl,-rpath,{folder}", "-o", program]
    subprocess.run(command, check=True)
    assert subprocess.run([program], check=False).returncode == 0


def test_two_libraries_in_a_process_do_not_share_functions(folder, compiler, tmp_path):
    """Even where the first one's symbols are visible to all, as those of a program's own libraries are."""
    write_random_network(11, 64, tmp_path / "other")
    first, second = (compile_library(path, "CFLAGS=-O0") for path in (folder, tmp_path / "other"))
    probe = f"""
import ctypes
from runtime import load_model
ctypes.CDLL({str(first)!r}, ctypes.RTLD_GLOBAL)
print(load_model({str(second)!r}).session.self_test_error)
"""
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout.strip() == "0.0", done.stderr
    names = subprocess.check_output(["nm", "-D", "--defined-only", first], text=True).split()[2::3]
    assert names and all(name.startswith("model_") for name in names)
