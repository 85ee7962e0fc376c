"""``check --target``: flash, RAM and instructions of a model on a microcontroller."""

from __future__ import annotations

import json
import re
import shutil
from importlib.metadata import entry_points

import pytest

from complexity.cli import main
from complexity.microcontroller.c_writers import GROUP
from complexity.microcontroller.firmware import Firmware
from complexity.microcontroller.footprint import Footprint
from complexity.microcontroller.stack import greatest_depth
from complexity.microcontroller.targets import TARGETS
from runtime.errors import ConfigError, ModelFileError, TinysceneError
from tests.complexity.onnx_builder import conv_net
from tests.conftest import ROOT

BOX = str(ROOT / "runtime" / "models" / "esc10.onnx")
GRAPH = r"""graph: { title: "a.c"
node: { title: "main" label: "main\na.c:1:1\n16 bytes (static)" }
node: { title: "a.c:deep" label: "deep\na.c:2:1\n100 bytes (static)" }
node: { title: "wide" label: "wide\na.c:3:1\n40 bytes (static)" }
node: { title: "kernel" label: "kernel\na.c:4:1\n300 bytes (static)" }
node: { title: "unused" label: "unused\na.c:5:1\n9000 bytes (static)" }
node: { title: "memcpy" label: "__builtin_memcpy\n<built-in>" shape : ellipse }
node: { title: "__indirect_call" label: "Indirect Call Placeholder" shape : ellipse }
edge: { sourcename: "main" targetname: "a.c:deep" label: "a.c:1:5" }
edge: { sourcename: "main" targetname: "wide" label: "a.c:1:6" }
edge: { sourcename: "a.c:deep" targetname: "memcpy" }
%s
}
"""
INDIRECT = 'edge: { sourcename: "wide" targetname: "__indirect_call" label: "a.c:3:5" }'


def test_the_stack_is_that_of_the_deepest_chain_of_calls():
    symbols = ["main", "deep", "wide", "kernel"]
    assert greatest_depth([GRAPH % ""], symbols) == 16 + 100 + 64
    assert greatest_depth([GRAPH % INDIRECT], symbols) == 16 + 40 + 300


def test_only_what_is_linked_is_called_by_a_pointer():
    assert greatest_depth([GRAPH % INDIRECT], ["main", "deep", "wide"]) == 16 + 100 + 64
    assert greatest_depth([GRAPH % INDIRECT], ["main", "deep", "wide", "unused"]) == 16 + 40 + 9000


def test_limits_are_of_flash_and_of_ram():
    firmware = Firmware(code_bytes=10_000, constant_bytes=190_000, static_bytes=110_000, stack_bytes=2_000)
    target = TARGETS["cortex-m4"]
    assert Footprint(target, firmware, None).within
    assert Footprint(target, firmware, None, flash_limit=200_000, ram_limit=112_000).within
    assert not Footprint(target, firmware, None, flash_limit=199_999).within
    over = Footprint(target, firmware, None, ram_limit=111_999)
    assert not over.within and "1 bytes over" in over.lines(1)[-1]


def test_every_processor_of_the_exported_makefile_is_a_target():
    makefile = (ROOT / "export" / "c" / "cortex_m" / "Makefile").read_text()
    assert set(TARGETS) == set(re.findall(r"^CPU_(\S+) :=", makefile, re.M))
    assert all(0.5 < target.cycles_per_instruction < 1.5 for target in TARGETS.values())


def test_a_limit_is_printed_as_it_was_given():
    firmware = Firmware(code_bytes=1_000, constant_bytes=400, static_bytes=1, stack_bytes=1)
    footprint = Footprint(TARGETS["cortex-m4"], firmware, None, flash_limit=1536, ram_limit=16_777_216)
    assert footprint.lines(1)[-2:] == ["It fits the 1.5 KB of flash.", "It fits the 16,384 KB of RAM."]


@pytest.mark.parametrize("size", ["nan", "inf", "0", "-5", "much"])
def test_a_size_that_no_memory_has_is_refused_in_one_sentence(size, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["check", BOX, "--target", "cortex-m4", f"--flash={size}"])
    assert stopped.value.code == 2
    assert f"--flash: '{size}' is no size: give a number of KB above 0" in capsys.readouterr().err


def test_a_limit_without_a_microcontroller_is_refused():
    with pytest.raises(ConfigError, match="--target"):
        main(["check", BOX, "--ram", "256"])


@pytest.fixture
def writer():
    if not entry_points(group=GROUP):
        pytest.skip("the package export is not installed with its entry points")


def test_a_file_that_cannot_become_c_is_refused(tmp_path, writer):
    path = tmp_path / "float.onnx"
    conv_net([1, 1, 16, 16], path)
    with pytest.raises(ModelFileError):
        main(["check", str(path), "--target", "cortex-m4"])


def test_a_missing_compiler_is_named(writer, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TinysceneError, match="gcc-arm-none-eabi"):
        main(["check", BOX, "--target", "cortex-m4"])


def test_the_model_in_the_box_fits_a_cortex_m4(writer, capsys):
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    assert main(["check", BOX, "--target", "cortex-m4", "--flash", "214", "--ram", "156", "--json"]) == 0
    footprint = json.loads(capsys.readouterr().out)["microcontroller"]
    assert footprint["within"] and footprint["target"] == "cortex-m4"
    assert 126_952 < footprint["constant_bytes"] < footprint["flash_bytes"] < 220_000
    if shutil.which("qemu-system-arm"):
        assert footprint["instructions"]["network"] < footprint["instructions"]["window"]
    assert main(["check", BOX, "--target", "cortex-m4", "--ram", "64"]) == 1
    assert "over the 64 KB of RAM" in capsys.readouterr().out.replace("\n", " ")
