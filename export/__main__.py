"""``python -m export onnx [MODEL.PT]``: one verified, stamped .onnx file; ``verify`` checks one again."""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime.door import EXIT_NEGATIVE, EXIT_OK, require, run


def main(arguments: list[str]) -> int:
    """Run the door; returns 0 where all is verified, 1 where it is not."""
    options = _parser().parse_args(arguments)
    for module in ("torch", "onnx", "onnxscript"):
        require(module, extra="train")
    return int(options.command(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    onnx = commands.add_parser("onnx", help="turn a model.pt into one .onnx file for the runtime")
    onnx.add_argument("model", nargs="?", type=Path, default=Path("model.pt"), metavar="MODEL.PT")
    onnx.add_argument("-o", "--output", type=Path, help="file to write (default: beside it, as .onnx)")
    onnx.add_argument(
        "--quantize", choices=("none", "ptq"),
        help="none keeps float32 (default: ptq where the model.pt holds calibration windows)",
    )  # fmt: skip
    onnx.add_argument(
        "--weight-range", choices=("portable", "full"), default="portable",
        help="full uses [-127, 127], which answers the same on VNNI and ARM only",
    )  # fmt: skip
    onnx.set_defaults(command=_onnx)
    verify = commands.add_parser("verify", help="verify an .onnx file; exit code 0 PASS, 1 FAIL")
    verify.add_argument("model", type=Path, metavar="MODEL.ONNX")
    verify.add_argument("--against", type=Path, metavar="MODEL.PT", help="the model.pt it was made from")
    verify.set_defaults(command=_verify)
    return parser


def _onnx(options: argparse.Namespace) -> int:
    from export.pack import pack
    from train.checkpoint import load
    from train.quantize import WEIGHT_RANGES, Scheme

    checkpoint = load(options.model)
    output = options.output or options.model.with_suffix(".onnx")
    method = options.quantize or ("ptq" if len(checkpoint.calibration) else "none")
    packed = pack(checkpoint, output, method=method, scheme=Scheme(WEIGHT_RANGES[options.weight_range]))
    print(packed.verification)
    if not packed.verification.passed:
        print(f"{output} was not written: the file does not answer as the network in {options.model} does.")
        return EXIT_NEGATIVE
    print(f"{output}: {packed.file_bytes:,} bytes, {packed.quantization}")
    return EXIT_OK


def _verify(options: argparse.Namespace) -> int:
    from export.verify import verify
    from train.checkpoint import load

    verification = verify(options.model, load(options.against) if options.against else None)
    print(verification)
    return EXIT_OK if verification.passed else EXIT_NEGATIVE


if __name__ == "__main__":
    run(main)
