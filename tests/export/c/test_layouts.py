"""The exported folder as a CMake project, and as a library of Arduino."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from export.cli.main import main
from tests.conftest import ROOT
from tests.export.c.conftest import need
from tests.export.c.test_operators import write_random_network

ARDUINO = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
static struct {
    void begin(long) {}
    void print(const char *text) { fputs(text, stdout); }
    void print(char letter) { putchar(letter); }
    void print(unsigned long number) { printf("%lu", number); }
    void println(const char *text) { puts(text); }
    void println(float number) { printf("%f\\n", number); }
} Serial;
static inline unsigned long micros() { static unsigned long now; return now += 7; }
static inline long random(long, long high) { return rand() % high; }
static inline void delay(long) { exit(0); }
"""


@pytest.fixture(scope="module")
def arduino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arduino")
    model = ROOT / "runtime" / "models" / "esc10.onnx"
    assert main(["c", str(model), "-o", str(folder), "--layout", "arduino"]) == 0
    return folder


def _compile(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_cmake_builds_it_and_runs_the_self_test(tmp_path, compiler):
    need("cmake")
    write_random_network(1, 64, tmp_path)
    (tmp_path / "main.c").write_text("#error not a part of the library\n")
    build = tmp_path / "build"
    _compile("cmake", "-S", tmp_path, "-B", build, "-DCMAKE_BUILD_TYPE=Debug")
    _compile("cmake", "--build", build)
    done = subprocess.run(["ctest", "--test-dir", build], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "100% tests passed" in done.stdout, done.stdout + done.stderr
    assert (build / "libmodel.so").exists()


def test_arduino_finds_the_library(arduino):
    lines = (arduino / "library.properties").read_text().splitlines()
    fields = dict(line.split("=", 1) for line in lines)
    required = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url"}
    assert required | {"architectures"} <= fields.keys() and all(fields.values())
    assert (arduino / "src" / fields["includes"]).is_file()
    assert json.loads((arduino / "library.json").read_text())["name"] == fields["name"]


@pytest.mark.parametrize(("sketch", "printed"), [("SelfTest", "PASS 7 us\n" * 3), ("StaticBuffer", None)])
def test_a_sketch_compiles_and_runs_here(arduino, compiler, tmp_path, sketch, printed):
    """As Arduino does it: C with its own flags, the sketch as C++ after its header."""
    need("g++")
    flags = ("-Wall", "-Wextra", "-Werror", "-O1", f"-I{arduino / 'src'}", "-c")
    objects = []
    for source in sorted((arduino / "src").glob("*.c")):
        objects.append(tmp_path / f"{source.stem}.o")
        _compile("gcc", "-std=gnu11", "-DTS_NO_SIMD", *flags, source, "-o", objects[-1])
    text = (arduino / "examples" / sketch / f"{sketch}.ino").read_text()
    loop = "\nint main() { setup(); for (int i = 0; i < 70; i++) loop(); }\n"
    (tmp_path / "sketch.cpp").write_text(ARDUINO + text + loop)
    _compile("g++", "-std=gnu++11", *flags, tmp_path / "sketch.cpp", "-o", tmp_path / "sketch.o")
    _compile("g++", *objects, tmp_path / "sketch.o", "-o", tmp_path / "sketch")
    done = subprocess.run([tmp_path / "sketch"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0
    assert done.stdout == printed if printed else len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("pragma", ["#pragma GCC optimize", "//"])
def test_no_multiply_add_is_fused_where_arduino_sets_no_flag(arduino, compiler, tmp_path, pragma):
    text = (arduino / "src" / "ts_front_end.c").read_text()
    (tmp_path / "front_end.c").write_text(text.replace("#pragma GCC optimize", pragma))
    flags = ("-std=gnu11", "-O2", "-march=haswell", f"-I{arduino / 'src'}", "-S")
    _compile("gcc", *flags, tmp_path / "front_end.c", "-o", tmp_path / "front_end.s")
    assert ("vfm" in (tmp_path / "front_end.s").read_text()) == (pragma == "//")
