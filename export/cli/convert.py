"""``export onnx``: turn a model.pt into one verified .onnx file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.entry_point import EXIT_NEGATIVE, EXIT_OK, program
from runtime.errors import ConfigError
from runtime.files import refuse_to_replace

if TYPE_CHECKING:
    from train.checkpoints.model_pt import Checkpoint
    from train.quantization.verification_windows import VerificationWindows


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    started = program("export")
    parser: argparse.ArgumentParser = commands.add_parser(
        "onnx",
        prog=f"{started} {'export' if started == 'tinyscene' else 'onnx'}",
        help="turn a model.pt into one .onnx file for the runtime",
    )
    parser.add_argument("model", nargs="?", type=Path, default=Path("model.pt"), metavar="MODEL.PT")
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: beside it, as .onnx)")
    parser.add_argument(
        "--quantize", choices=("none", "fp16", "ptq", "qat"),
        help="none keeps float32, fp16 stores weights in half precision, ptq calibrates, qat takes what "
        "`python -m train qat` learned (default: what the model.pt has: qat, else calibration windows, else "
        "none)",
    )  # fmt: skip
    parser.add_argument(
        "--weight-range", choices=("portable", "full"), default="portable",
        help="full uses [-127, 127], which gives the same logits on VNNI and ARM only",
    )  # fmt: skip
    parser.add_argument(
        "--keep-float", action="append", default=[], metavar="NAME",
        help="a value or module that ptq leaves in float; names: `python -m export sensitivity`; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--without-merging", action="store_true",
        help="of a transformer that merges tokens (merge_r): export it without; the weights are the same",
    )  # fmt: skip
    parser.add_argument(
        "--calibration", type=Path, metavar="DIR|TABLE",
        help="audio to calibrate ptq with, in place of the windows in the model.pt: a folder, or a table of "
        "files",
    )  # fmt: skip
    add_quality_options(parser)
    parser.set_defaults(command=_run)


def add_quality_options(parser: argparse.ArgumentParser) -> None:
    """Add what `verify` shares: on which windows quality is measured, and what loss passes."""
    parser.add_argument(
        "--verification", type=Path, metavar="DIR|TABLE",
        help="audio to measure quality on, in place of the windows in the model.pt: class folders, a table "
        "of files and labels, or any folder of audio (then labels are compared with the float reference's)",
    )  # fmt: skip
    add_tolerance(parser)


def add_tolerance(parser: argparse.ArgumentParser) -> None:
    """Add the loss of quality that passes."""
    parser.add_argument(
        "--tolerance", type=share, metavar="SHARE",
        help="of accuracy on verification windows that the file may lose, or of labels that it may change "
        "where there are no labels: 0.01 (default) is one point; 1 always writes",
    )  # fmt: skip


def share(text: str) -> float:
    """A number from 0 to 1, for argparse."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share: give a number from 0 to 1")
    return value


def read_windows(
    checkpoint: Checkpoint, calibration: Path | None, verification: Path | None
) -> tuple[Checkpoint, VerificationWindows | None]:
    """The checkpoint with calibration windows from audio, and verification windows from audio, if given."""
    from export import audio_windows

    sets: list[audio_windows.AudioClips | None] = [
        None if path is None else audio_windows.find_clips(path, checkpoint, training=training)
        for path, training in ((calibration, True), (verification, False))
    ]
    for_calibration, for_verification = sets
    if for_calibration is not None and for_verification is not None:
        audio_windows.refuse_shared_clips(for_calibration, for_verification)
    windows = None
    if for_verification is not None:
        windows = audio_windows.verification_windows(for_verification, checkpoint)
    if for_calibration is not None:
        checkpoint = audio_windows.with_calibration(checkpoint, for_calibration)
    return checkpoint, windows


def _run(options: argparse.Namespace) -> int:
    from export.pipeline import default_method, export_model
    from export.token_merging import without_merging
    from export.verification import TOLERANCE
    from train.checkpoints.model_pt import load
    from train.quantization.quantizer import WEIGHT_RANGES, Scheme

    checkpoint = load(options.model)
    if options.without_merging:
        checkpoint = without_merging(checkpoint)
    method = options.quantize or default_method(checkpoint)
    if options.calibration is not None and options.quantize is None and method == "none":
        method = "ptq"
    for name, value in (("calibration", options.calibration), ("keep-float", options.keep_float)):
        if value and method != "ptq":
            raise ConfigError(f"--{name} is for ptq and this is {method}: add `--quantize ptq`.")
    checkpoint, windows = read_windows(checkpoint, options.calibration, options.verification)
    output: Path = options.output or options.model.with_suffix(".onnx")
    refuse_to_replace([options.model], output)
    exported = export_model(
        checkpoint, output,
        method=method,
        scheme=Scheme(WEIGHT_RANGES[options.weight_range], tuple(options.keep_float)),
        tolerance=TOLERANCE if options.tolerance is None else options.tolerance,
        windows=windows,
    )  # fmt: skip
    quantization = dict(exported.quantization)
    for line in quantization.pop("tried", ()):  # the least noise on verification windows decides
        print(f"tried {line}")
    print(exported.verification.summary())  # `verify` also shows the noise of every value
    if not exported.verification.passed:
        print(f"{output} was not written. {_remedy(exported.verification.correct, method, checkpoint)}")
        return EXIT_NEGATIVE
    print(f"{output}: {exported.file_bytes:,} bytes, {quantization}")
    return EXIT_OK


def _remedy(correct: bool, method: str, checkpoint: Checkpoint) -> str:
    from export.token_merging import advice

    if not correct:
        return advice(checkpoint) or "Please report it with the model.pt; `--quantize none` may work."
    if method == "ptq":
        return "Give the tolerance above, or train INT8 with `python -m train qat`."
    return "Give the tolerance above, or train longer."
