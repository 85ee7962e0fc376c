"""``export quantize``: quantize a float .onnx file, of another toolkit or of `export onnx`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from runtime.entry_point import EXIT_OK


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "quantize", help="quantize a float .onnx file, ours or of another toolkit"
    )
    parser.add_argument("model", type=Path, metavar="OTHER.ONNX")
    parser.add_argument(
        "--calibration", type=Path, required=True, metavar="DIR",
        help="folder of .npy files, each one input of the model with a batch axis of one; for a model of "
        "several inputs .npz files with one array per input name",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: OTHER.int8.onnx)")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from export.quantize_onnx import quantize_onnx

    output = options.output or options.model.with_suffix(".int8.onnx")
    result = quantize_onnx(options.model, options.calibration, output)
    print(
        f"{output}: {result.file_bytes:,} bytes; {result.agreement:.1%} of {result.inputs} inputs have the "
        f"same greatest output, which differs by {result.error:.3g} at most"
    )
    for note in result.notes:
        print(f"note: {note}")
    return EXIT_OK
