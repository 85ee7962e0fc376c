"""``export c``: write the C library of an INT8 .onnx file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from runtime.entry_point import EXIT_OK

_DEFAULT_HOP_S = 0.25
_NEXT = {
    "plain": "`make test` runs its self-test",
    "arduino": "its example SelfTest prints on the board whether the self-test passes",
}


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "c", help="write an INT8 .onnx file as plain C, for microcontrollers and as a shared library"
    )
    parser.add_argument("model", type=Path, metavar="MODEL.ONNX")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--hop", type=float, default=_DEFAULT_HOP_S, metavar="SECONDS",
        help="from one window to the next in a stream of the C code (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--layout", choices=("plain", "arduino"), default="plain",
        help="one folder with a Makefile and CMakeLists.txt, or a library of Arduino and PlatformIO "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from export.c.library import write_library

    plan = write_library(options.model, options.output, options.hop, options.layout)
    print(f"{options.output}: C99, {plan.arena_bytes:,} bytes of tensors; {_NEXT[options.layout]}")
    return EXIT_OK
