"""Compiles the example firmware of an exported C folder, and reads its sections and its use of the stack.

The folder's own Makefile (``cortex_m/Makefile``) has the compiler's options.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from complexity.microcontroller.stack import greatest_depth
from complexity.microcontroller.targets import Target
from runtime.errors import TinysceneError

_COMPILER = ("make", "arm-none-eabi-gcc", "arm-none-eabi-size", "arm-none-eabi-nm")
_EMULATOR = "qemu-system-arm"


@dataclass(frozen=True)
class Firmware:
    """Bytes of a firmware: start-up code, the model with front end and stream, a loop that pushes samples.

    Attributes:
        code_bytes: flash, instructions.
        constant_bytes: flash, weights and tables and the initial values of variables.
        static_bytes: RAM, variables: the arena, the buffers of the stream and the firmware.
        stack_bytes: RAM, the deepest chain of calls from ``main``; interrupts come on top.
    """

    code_bytes: int
    constant_bytes: int
    static_bytes: int
    stack_bytes: int


@dataclass(frozen=True)
class Instructions:
    """Instructions that QEMU executed (``-icount``); it knows no cycles, waits or caches.

    Attributes:
        network: from a log-mel to logits, its quantization included.
        window: from the samples of one window to its scores: pre-emphasis, log-mel, network, softmax.
        stack_bytes: that pushing these samples used.
    """

    network: int
    window: int
    stack_bytes: int


def compile_firmware(folder: Path, target: Target) -> Firmware:
    """Compile a folder's example firmware for a target.

    Raises:
        TinysceneError: where a tool is missing or the compiler fails.
    """
    missing = [tool for tool in _COMPILER if shutil.which(tool) is None]
    if missing:
        raise TinysceneError(
            f"--target compiles the model, and {missing[0]} is not installed: install make, "
            "gcc-arm-none-eabi and libnewlib-arm-none-eabi."
        )
    build = folder / "cortex_m" / f"build-{target.name}"
    elf = build / "firmware.elf"
    _make(folder, target, f"{build.name}/{elf.name}")
    sizes = {name: int(size) for name, size in re.findall(r"^(\.\S+) +(\d+)", _read("size", "-A", elf), re.M)}
    symbols = {line.split()[-1] for line in _read("nm", elf).splitlines()}
    data = sizes[".data"]
    return Firmware(
        code_bytes=sizes[".text"] + sizes.get(".ARM.exidx", 0),
        constant_bytes=sizes[".rodata"] + data,
        static_bytes=data + sizes[".bss"],
        stack_bytes=greatest_depth([path.read_text() for path in sorted(build.glob("*.ci"))], symbols),
    )


def count_instructions(folder: Path, target: Target) -> Instructions | None:
    """Run a folder's self-test under QEMU; None where it is not installed.

    Raises:
        TinysceneError: where the self-test fails, or a counter ran over.
    """
    if shutil.which(_EMULATOR) is None:
        return None
    printed = _make(folder, target, "test")
    numbers = dict(re.findall(r"^(.+): (\d+)$", printed, re.M))
    counts = [int(numbers.get(f"instructions of {what}", 0)) for what in ("model_run", "a window")]
    if not all(counts):
        raise TinysceneError(f"{_EMULATOR} counted no instructions on {target.name}: {printed[-200:]}")
    return Instructions(counts[0], counts[1], int(numbers["stack of model_push_int16"]))


def _make(folder: Path, target: Target, goal: str) -> str:
    command = ["make", "-s", "-C", str(folder / "cortex_m"), f"TARGET={target.name}", goal]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise TinysceneError(f"The model could not be compiled or run for {target.name}: {last[-1]}")
    return done.stdout


def _read(tool: str, *arguments: str | Path) -> str:
    command = [f"arm-none-eabi-{tool}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
