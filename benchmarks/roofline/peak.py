"""The multiply-accumulates a second of one core, by instruction, with operands in registers.

A C program repeats one instruction on twelve independent accumulators, more than hide its latency, and
reports the fastest of many short bursts: what the core does when it has nothing else to do.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_SOURCE = """
#include <stdio.h>
#include <time.h>
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define ALL(X) EACH(X) X(12) X(13) X(14) X(15)
#define ZERO(i) "ZERO_CODE\\n"
#define STEP(i) "STEP_CODE\\n"
#define R(i) "BANK" #i
#define CLOBBERED R(0), R(1), R(2), R(3), R(4), R(5), R(6), R(7), R(8), R(9), R(10), R(11), R(12), R(13), \\
                  R(14), R(15)
int main(void)
{
    double best = 1e9;
    for (int round = 0; round < 500; round++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        /* a denormal left in a register would slow FP32 down */
        __asm__ volatile(ALL(ZERO) ::: CLOBBERED);
        for (int i = 0; i < 5000; i++)
            __asm__ volatile(EACH(STEP) ::: CLOBBERED);
        clock_gettime(CLOCK_MONOTONIC, &b);
        double seconds = (b.tv_sec - a.tv_sec) + 1e-9 * (b.tv_nsec - a.tv_nsec);
        best = seconds < best ? seconds : best;
    }
    printf("%.6g", 5000 * 12 / best);
    return 0;
}
"""


@dataclass(frozen=True)
class Instruction:
    """An instruction, or a chain of them, that multiplies and accumulates.

    Attributes:
        title: in tables.
        arithmetic: ``FP32`` or ``INT8``.
        flags: of the processor, as Linux lists them, that it needs.
        macs: of one step.
        step: assembly; ``@`` stands for the number of the accumulator.
    """

    title: str
    arithmetic: Literal["FP32", "INT8"]
    flags: tuple[str, ...]
    macs: int
    step: str


_X86 = {
    "fma_512": Instruction(
        "FP32 FMA, 512 bits", "FP32", ("avx512f",), 16, "vfmadd231ps %zmm13, %zmm12, %zmm@"
    ),
    "fma_256": Instruction(
        "FP32 FMA, 256 bits", "FP32", ("fma", "avx2"), 8, "vfmadd231ps %ymm13, %ymm12, %ymm@"
    ),
    "vnni_512": Instruction(
        "INT8 dot products, 512 bits (VNNI)", "INT8", ("avx512_vnni",), 64, "vpdpbusd %zmm13, %zmm12, %zmm@"
    ),
    "vnni_256": Instruction(
        "INT8 dot products, 256 bits (AVX-VNNI)", "INT8", ("avx_vnni",), 32,
        "{vex} vpdpbusd %ymm13, %ymm12, %ymm@",
    ),
    "avx2_int8": Instruction(  # register 14 is renamed by every step
        "INT8 by vpmaddubsw, vpmaddwd and vpaddd, 256 bits (AVX2)", "INT8", ("avx2",), 32,
        "vpmaddubsw %ymm13, %ymm12, %ymm14; vpmaddwd %ymm15, %ymm14, %ymm14; vpaddd %ymm14, %ymm@, %ymm@",
    ),
}  # fmt: skip
_ARM = {
    "fmla": Instruction("FP32 FMA, 128 bits", "FP32", ("asimd",), 4, "fmla v@.4s, v12.4s, v13.4s"),
    "sdot": Instruction(
        "INT8 dot products, 128 bits (sdot)", "INT8", ("asimddp",), 16,
        ".arch_extension dotprod; sdot v@.4s, v12.16b, v13.16b",
    ),
}  # fmt: skip
# instructions, how a register is cleared, and what the compiler calls it
_MACHINES = {
    "x86_64": (_X86, "vpxor %xmm@, %xmm@, %xmm@", "xmm"),
    "aarch64": (_ARM, "movi v@.4s, #0", "v"),
}
INSTRUCTIONS = _X86 | _ARM


def peak(name: str) -> float | None:
    """Multiply-accumulates a second of one core.

    Args:
        name: of an instruction in `INSTRUCTIONS`.

    Returns:
        None where there is no C compiler or the processor lacks the instruction.
    """
    instructions, zero, bank = _MACHINES.get(platform.machine(), ({}, "", ""))
    compiler = shutil.which("cc") or shutil.which("gcc")
    if name not in instructions or compiler is None or not set(instructions[name].flags) <= _flags():
        return None
    code = _SOURCE.replace("BANK", bank)
    for place, assembly in (("ZERO_CODE", zero), ("STEP_CODE", instructions[name].step)):
        code = code.replace(place, _in_c(assembly))
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "peak.c", Path(folder) / "peak"
        source.write_text(code)
        for command in ([compiler, "-O2", str(source), "-o", str(program)], [str(program)]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return None
    return instructions[name].macs * float(done.stdout)


def _in_c(assembly: str) -> str:
    """Assembly within the string of an asm statement with operands, where these characters mean others."""
    for character in "%{}":
        assembly = assembly.replace(character, f"%{character}")
    return assembly.replace("@", '" #i "')


def peaks() -> dict[str, float]:
    """`peak` of every instruction that this processor has."""
    found = {name: peak(name) for name in INSTRUCTIONS}
    return {name: value for name, value in found.items() if value is not None}


def _flags() -> set[str]:
    """What the processor can do, in Linux's words."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    line = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return set(line.partition(":")[2].split())
