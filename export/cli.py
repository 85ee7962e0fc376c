"""``python -m export onnx [MODEL.PT]``: one verified, stamped .onnx file; ``verify`` checks one again."""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime.entry_point import EXIT_NEGATIVE, EXIT_OK, require


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
        "--quantize", choices=("none", "ptq", "qat"),
        help="none keeps float32, ptq calibrates, qat takes what `python -m train qat` learned "
        "(default: what the model.pt has: qat, else calibration windows, else none)",
    )  # fmt: skip
    onnx.add_argument(
        "--weight-range", choices=("portable", "full"), default="portable",
        help="full uses [-127, 127], which answers the same on VNNI and ARM only",
    )  # fmt: skip
    onnx.add_argument(
        "--tolerance", type=float, default=0.01, metavar="SHARE",
        help="of the labels of calibration windows that ptq may change, or of their probability that it may "
        "take (default 0.01); above it other observers are tried, then sensitive values stay float",
    )  # fmt: skip
    onnx.add_argument(
        "--keep-float", action="append", default=[], metavar="NAME",
        help="a value or module that ptq leaves in float; names: `python -m export sensitivity`; repeatable",
    )  # fmt: skip
    onnx.set_defaults(command=_onnx)
    quantize = commands.add_parser("quantize", help="quantize a float .onnx file that is not ours")
    quantize.add_argument("model", type=Path, metavar="OTHER.ONNX")
    quantize.add_argument(
        "--calibration", type=Path, required=True, metavar="DIR",
        help="folder of .npy files, each one input of the model with a batch axis of one",
    )  # fmt: skip
    quantize.add_argument("-o", "--output", type=Path, help="file to write (default: OTHER.int8.onnx)")
    quantize.set_defaults(command=_quantize)
    sensitivity = commands.add_parser("sensitivity", help="which values INT8 hurts most")
    sensitivity.add_argument("model", nargs="?", type=Path, default=Path("model.pt"), metavar="MODEL.PT")
    sensitivity.set_defaults(command=_sensitivity)
    verify = commands.add_parser("verify", help="verify an .onnx file; exit code 0 PASS, 1 FAIL")
    verify.add_argument("model", type=Path, metavar="MODEL.ONNX")
    verify.add_argument("--against", type=Path, metavar="MODEL.PT", help="the model.pt it was made from")
    verify.set_defaults(command=_verify)
    submission = commands.add_parser(
        "submission",
        help="the inference package of DCASE 2025 Task 1; exit code 1 where a model is over the limits",
    )
    submission.add_argument(
        "models", nargs="+", metavar="[DEVICE=]MODEL.PT",
        help="the general model, and those for single devices, such as s1=runs/s1/model.pt",
    )  # fmt: skip
    submission.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR",
        help="folder to write; one that holds the team's package gets one more submission",
    )  # fmt: skip
    submission.add_argument(
        "--name", default="Lastname_Institute_task1", help="submission label without its index"
    )
    submission.add_argument("--index", type=int, default=1, help="of up to four submissions (default 1)")
    submission.add_argument(
        "--allow-over-budget", action="store_true", help="write it although a model is over the limits"
    )
    submission.set_defaults(command=_submission)
    return parser


def _onnx(options: argparse.Namespace) -> int:
    from export.pipeline import default_method, pack
    from train.checkpoints.model_pt import load
    from train.quantization.quantizer import WEIGHT_RANGES, Scheme

    checkpoint = load(options.model)
    output = options.output or options.model.with_suffix(".onnx")
    packed = pack(
        checkpoint, output,
        method=options.quantize or default_method(checkpoint),
        scheme=Scheme(WEIGHT_RANGES[options.weight_range], tuple(options.keep_float)),
        tolerance=options.tolerance,
    )  # fmt: skip
    print(packed.verification.checklist())  # `verify` also shows the noise of every value
    if not packed.verification.passed:
        print(f"{output} was not written: the file does not answer as the network in {options.model} does.")
        return EXIT_NEGATIVE
    print(f"{output}: {packed.file_bytes:,} bytes, {packed.quantization}")
    return EXIT_OK


def _quantize(options: argparse.Namespace) -> int:
    from export.quantize_onnx import quantize_foreign

    output = options.output or options.model.with_suffix(".int8.onnx")
    result = quantize_foreign(options.model, options.calibration, output)
    print(
        f"{output}: {result.file_bytes:,} bytes; {result.agreement:.1%} of {result.inputs} inputs have the "
        f"same greatest output, which differs by {result.error:.3g} at most"
    )
    return EXIT_OK


def _sensitivity(options: argparse.Namespace) -> int:
    from train.checkpoints.model_pt import load
    from train.quantization.choose_ranges import sensitivities

    print("logits' signal to noise with one value alone in INT8:")
    for row in sensitivities(load(options.model)):
        print(f"  {row.sqnr_db:5.1f} dB  {row.name}")
    return EXIT_OK


def _verify(options: argparse.Namespace) -> int:
    from export.verification import verify
    from train.checkpoints.model_pt import load

    verification = verify(options.model, load(options.against) if options.against else None)
    print(verification)
    return EXIT_OK if verification.passed else EXIT_NEGATIVE


def _submission(options: argparse.Namespace) -> int:
    from export.submission.build import build, read_models

    built = build(
        read_models(options.models), options.output,
        name=options.name, index=options.index, allow_over_budget=options.allow_over_budget,
    )  # fmt: skip
    for device, report in built.reports.items():
        print(f"{device:>7}  {report.verdict()}")
    if built.refusal:
        print(f"{options.output} was not written: {built.refusal}")
        return EXIT_NEGATIVE
    print(f"wrote {options.output}: `pip install {options.output}`, then "
          f"`python -m {options.name}.{options.name}_{options.index} EVALUATION_SET`")  # fmt: skip
    return EXIT_OK
