"""``export verify``: verify an .onnx file again; exit code 0 PASS, 1 FAIL."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from export.cli.convert import add_quality_options, read_windows
from runtime.entry_point import EXIT_NEGATIVE, EXIT_OK
from runtime.errors import ConfigError


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "verify", help="verify an .onnx file; exit code 0 PASS, 1 FAIL"
    )
    parser.add_argument("model", type=Path, metavar="MODEL.ONNX")
    parser.add_argument(
        "--against", type=Path, metavar="MODEL.PT",
        help="the model.pt that it was made from; without it quality is not measured",
    )  # fmt: skip
    add_quality_options(parser)
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from export.verification import verify
    from train.checkpoints.model_pt import load

    if options.against is None and options.verification is not None:
        raise ConfigError("--verification needs the float reference: add `--against MODEL.PT`.")
    checkpoint = windows = None
    if options.against is not None:
        checkpoint, windows = read_windows(load(options.against), None, options.verification)
    verification = verify(options.model, checkpoint, windows=windows, tolerance=options.tolerance)
    print(verification)
    return EXIT_OK if verification.passed else EXIT_NEGATIVE
