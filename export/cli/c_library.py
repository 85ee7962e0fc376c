"""``export c``: write the C library of an INT8 .onnx file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from runtime.entry_point import EXIT_OK
from runtime.errors import TinysceneError
from runtime.live.overload import DEFAULT_HOP_S

_NEXT = {
    "plain": "`make test` runs its self-test",
    "arduino": "its example SelfTest prints on the board whether the self-test passes",
}


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "c", help="write an INT8 .onnx file as plain C, for microcontrollers and as a shared library"
    )
    parser.add_argument(
        "model", nargs="?", type=Path, metavar="MODEL.ONNX", help="the packaged model where it is left out"
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder to write")
    target.add_argument(
        "--install",
        action="store_true",
        help="compile the packaged model for this machine: load_model() runs it from then on",
    )
    parser.add_argument(
        "--hop", type=float, metavar="SECONDS",
        help="from one window to the next in a stream of the C code (default: "
        f"{DEFAULT_HOP_S:g}, or the nearest to it that is a whole number of frames)",
    )  # fmt: skip
    parser.add_argument(
        "--layout", choices=("plain", "arduino"), default="plain",
        help="one folder with a Makefile and CMakeLists.txt, or a library of Arduino and PlatformIO "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--fixed-point", action="store_true",
        help="compute the log-mel in integers too, from 16-bit samples, for processors without an FPU: no "
        "operation in float is left in a firmware; export/c/ARITHMETIC.md has the arithmetic and its error",
    )  # fmt: skip
    parser.set_defaults(command=_run, needs=("onnx",), extra="native")


def _run(options: argparse.Namespace) -> int:
    from export.c.library import write_library
    from runtime.classifier import packaged_model

    if options.install:
        return _install(options)
    plan = write_library(
        options.model or packaged_model(),
        options.output,
        options.hop,
        options.layout,
        options.fixed_point,
    )
    log_mel = "a log-mel in integers, " if options.fixed_point else ""
    print(f"{options.output}: C99, {log_mel}{plan.arena_bytes:,} bytes of tensors; {_NEXT[options.layout]}")
    return EXIT_OK


def _install(options: argparse.Namespace) -> int:
    from export.c.install import install_library
    from runtime.classifier import packaged_model

    if options.model is not None:
        raise TinysceneError(
            "--install is for the packaged model: compile another one with -o DIR and make, and give the "
            "library's path to the runtime."
        )
    if options.hop is not None or options.layout != "plain":
        raise TinysceneError(
            "--hop and --layout are for code of your own, and load_model() uses neither: leave them out with "
            "--install, or give -o DIR."
        )
    if options.fixed_point:
        raise TinysceneError(
            "--install is for this machine, which has an FPU: leave out --fixed-point, or give -o DIR."
        )
    session = install_library(packaged_model())
    print(
        f"{session.path}: {session.optimization}; `load_model()` runs it from now on, and ONNX Runtime again "
        "once that file is deleted"
    )
    return EXIT_OK
