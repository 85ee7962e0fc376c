"""CMSIS-NN (ARM-software/CMSIS-NN) beside our operators: the same bytes where it rounds once.

Set CMSIS_NN_DIR to a checkout of it; its C paths run here, those for DSP instructions under emulation.
"""

from __future__ import annotations

import ctypes
import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.c.fixed_point import Factor, Sum
from tests.export.c.conftest import compile_library, need
from tests.export.c.operator_cases import make_cases

PROBE = Path(__file__).with_name("cmsis_nn_probe.c")
OTHER_TYPES = ("_f16", "_f32", "lstm", "svdf", "softmax")
SINGLE_ROUNDING = "-DCMSIS_NN_USE_SINGLE_ROUNDING"
BOARDS = {  # options of the compiler, machine of QEMU, where the memories for code and data begin
    "cortex-m4": ("-mcpu=cortex-m4 -mfpu=fpv4-sp-d16", "mps2-an386", "0x00000000", "0x20000000"),
    "cortex-m55": ("-mcpu=cortex-m55", "mps3-an547", "0x10000000", "0x30000000"),
}
OURS = ("model_network.c", "ts_network.c", "ts_portable.c", "ts_front_end.c", "model_front_end.c")
PAIRS = np.indices((256, 256), np.uint8).reshape(2, -1)


@pytest.fixture(scope="module")
def cmsis_nn() -> Path:
    folder = Path(os.environ.get("CMSIS_NN_DIR", ""))
    if not (folder / "Include" / "arm_nnfunctions.h").is_file():
        pytest.skip("CMSIS_NN_DIR is not set to a checkout of github.com/ARM-software/CMSIS-NN")
    return folder


@pytest.fixture(scope="module")
def sources(cmsis_nn: Path) -> list[Path]:
    """All of CMSIS-NN for int8."""
    names = {
        *(cmsis_nn / "Source").glob("*/*_s8*.c"),
        *(cmsis_nn / "Source" / "NNSupportFunctions").glob("*.c"),
    }
    return sorted(name for name in names if not any(part in name.name for part in OTHER_TYPES))


@pytest.fixture(scope="module")
def build(
    cmsis_nn: Path, sources: list[Path], compiler: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[ctypes.CDLL, Path]]:
    """From a rounding (an option of the compiler) to CMSIS-NN as a library, and the probe linked with it."""
    root = tmp_path_factory.mktemp("cmsis")
    make_cases(seed=1).write(root / "network")
    ours = compile_library(root / "network", target="libmodel.a")

    def make(rounding: str) -> tuple[ctypes.CDLL, Path]:
        folder = root / (rounding or "default")
        folder.mkdir(exist_ok=True)
        command = [
            "gcc",
            "-O1",
            "-w",
            *rounding.split(),
            f"-I{cmsis_nn / 'Include'}",
            f"-I{root / 'network'}",
        ]
        library, probe = folder / "libcmsis.so", folder / "probe"
        subprocess.run([*command, "-fPIC", "-shared", *sources, "-o", library], check=True)
        subprocess.run([*command, PROBE, ours, library, f"-Wl,-rpath,{folder}", "-o", probe], check=True)
        return ctypes.CDLL(str(library)), probe

    return make


def _split(ratio: float) -> tuple[int, int]:
    """A multiplier and a shift to the left, as CMSIS-NN takes them."""
    factor = Factor.of(ratio)
    return int(factor.multiplier[0]), 31 - int(factor.shift[0])


def _signed() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first, second = (PAIRS.astype(np.int16) - 128).astype(np.int8)
    return first, second, np.empty_like(first)


def test_convolutions_linear_layers_and_maxima_have_the_same_bytes(build):
    probe = build(SINGLE_ROUNDING)[1]
    printed = subprocess.run([probe], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in printed.splitlines()]
    assert {name for name, *_ in lines} == {
        "arm_convolve_1x1_s8_fast", "arm_convolve_s8", "arm_depthwise_conv_wrapper_s8",
        "arm_fully_connected_per_channel_s8", "arm_max_pool_s8",
    }  # fmt: skip
    assert {differing for _, differing, _ in lines} == {"0"}, printed


@pytest.mark.parametrize("target", BOARDS)
def test_its_kernels_for_microcontrollers_have_the_same_bytes(cmsis_nn, sources, tmp_path, target):
    need("arm-none-eabi-gcc", "qemu-system-arm")
    cases, (options, machine, code, data) = make_cases(seed=1, only_convolutions=True), BOARDS[target]
    cases.write(tmp_path)
    ours = [tmp_path / name for name in (*OURS, "cortex_m/boot.c")]
    folders = [f"-I{folder}" for folder in (tmp_path, tmp_path / "cortex_m", cmsis_nn / "Include")]
    firmware = tmp_path / "probe.elf"
    command = [
        "arm-none-eabi-gcc", "-std=c99", "-O2", "-w", "-DEMULATED", SINGLE_ROUNDING, "-ffunction-sections",
        "-fdata-sections", "-mthumb", "-mfloat-abi=hard", *options.split(), *folders, PROBE, *ours, *sources,
        "-nostartfiles", "-T", tmp_path / "cortex_m" / "memory.ld", "-Wl,--gc-sections",
        f"-Wl,--defsym=FLASH_ORIGIN={code}", f"-Wl,--defsym=RAM_ORIGIN={data}", "-o", firmware,
    ]  # fmt: skip
    subprocess.run(command, check=True)
    emulator = [
        "timeout", "100", "qemu-system-arm", "-nographic", "-monitor", "none", "-serial", "none",
        "-chardev", "stdio,id=out", "-semihosting-config", "enable=on,target=native,chardev=out",
        "-machine", machine, "-kernel", firmware,
    ]  # fmt: skip
    printed = subprocess.run(emulator, capture_output=True, text=True, check=True).stdout
    differing = [line.split()[1] != "0" for line in printed.splitlines()]
    wrong = {name for name, differs in zip(cases.places, differing, strict=True) if differs}
    # Helium's requantization shifts to the left first, where a factor is 1/2 or more: that leaves int32
    overflows = {name for name in cases.places if name.endswith(f"bias {2**31 - 2**20}")}
    assert wrong <= (overflows if target == "cortex-m55" else set())


def test_its_default_rounds_twice_and_may_be_off_by_one(build):
    """Without the option fewer than 1 byte in 100 differs, but where a shift to the left leaves int32."""
    probe = build("")[1]
    printed = subprocess.run([probe], capture_output=True, text=True, check=True).stdout
    counts = [tuple(map(int, line.split()[1:])) for line in printed.splitlines()]
    shares = sorted(differing / count for differing, count in counts)
    assert 0 < shares[-2] < 0.01


@pytest.mark.parametrize("rounding", [SINGLE_ROUNDING, ""])
def test_products_have_the_same_bytes_where_it_rounds_once(build, rounding):
    library, factor = build(rounding)[0], Factor.of(0.0123)
    first, second, actual = _signed()
    zero_a, zero_b, zero = 90, 40, 100
    library.arm_elementwise_mul_s8(
        _pointer(first), _pointer(second), 128 - zero_a, 128 - zero_b, _pointer(actual), zero - 128,
        *_split(0.0123), -128, 127, len(actual),
    )  # fmt: skip
    product = (PAIRS[0].astype(np.int64) - zero_a) * (PAIRS[1].astype(np.int64) - zero_b)
    expected = np.clip(factor.scale(product) + zero, 0, 255)
    differing = (actual.astype(np.int64) + 128 != expected).sum()
    assert (differing == 0) == (rounding == SINGLE_ROUNDING)


@pytest.mark.parametrize(
    ("ratios", "most"), [((101 / 127, 90 / 127), 0), ((0.7431, 0.9217), 2), ((0.5, 1.0), 32768)]
)
def test_sums_have_the_same_bytes_where_no_sum_is_near_a_tie(build, ratios, most):
    """Three roundings, at 20 bits after the point: TensorFlow Lite's ADD."""
    first, second, actual = _signed()
    zero_a, zero_b, zero, left = 100, 120, 110, 20
    twice = 2 * max(ratios)
    library = build(SINGLE_ROUNDING)[0]
    library.arm_elementwise_add_s8(
        _pointer(first), _pointer(second), 128 - zero_a, *_split(ratios[0] / twice), 128 - zero_b,
        *_split(ratios[1] / twice), left, _pointer(actual), zero - 128, *_split(math.ldexp(twice, -left)),
        -128, 127, len(actual),
    )  # fmt: skip
    of = Sum.of((ratios[0], zero_a), (ratios[1], zero_b), zero)
    expected = np.clip(of.scale(*PAIRS.astype(np.int64)), 0, 255)
    distance = np.abs(actual.astype(np.int64) + 128 - expected)
    assert distance.max() <= 1 and (distance > 0).sum() <= most


def _pointer(values: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(values.ctypes.data)
