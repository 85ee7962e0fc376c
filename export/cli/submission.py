"""``export submission``: the inference package of DCASE 2025 Task 1."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import Any

from export.cli.convert import add_tolerance
from runtime.entry_point import EXIT_NEGATIVE, EXIT_OK


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "submission",
        help="the inference package of DCASE 2025 Task 1; exit code 1 where a model is over the limits",
    )
    parser.add_argument(
        "models", nargs="+", metavar="[DEVICE=]MODEL.PT",
        help="the general model, and those for single devices, such as s1=runs/s1/model.pt",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR",
        help="folder to write; one that holds the team's package gets one more submission",
    )  # fmt: skip
    parser.add_argument(
        "--name", default="Lastname_Institute_task1", help="submission label without its index"
    )
    parser.add_argument("--index", type=int, default=1, help="of up to four submissions (default 1)")
    parser.add_argument(
        "--quantize", choices=("none", "fp16", "ptq", "qat"),
        help="as of `export onnx`, for all models (default: what each model.pt has)",
    )  # fmt: skip
    add_tolerance(parser)
    parser.add_argument(
        "--test-split", type=Path, metavar="CSV",
        help="the list of the development set's test clips that the organisers' evaluation scores "
        "(default: evaluation_setup/fold1_evaluate.csv in TAU2022_DIR)",
    )  # fmt: skip
    parser.add_argument(
        "--any-labels", action="store_true", help="write it although the labels are not the ten scenes of TAU"
    )
    parser.add_argument(
        "--allow-over-budget", action="store_true", help="write it although a model is over the limits"
    )
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from export.submission.build import build, read_models
    from train.quantization.quality import TOLERANCE

    built = build(
        read_models(options.models), options.output,
        name=options.name, index=options.index, method=options.quantize,
        tolerance=TOLERANCE if options.tolerance is None else options.tolerance,
        test_split=options.test_split, any_labels=options.any_labels,
        allow_over_budget=options.allow_over_budget,
    )  # fmt: skip
    for device, report in built.reports.items():
        print(f"{device:>7}  {report.verdict()}")
    if built.refusal:
        print(f"{options.output} was not written: {built.refusal}")
        return EXIT_NEGATIVE
    for note in built.notes:
        print(f"note: {note}")
    print(f"wrote {options.output}: `pip install {installable(options.output)}`, then "
          f"`python -m {options.name}.{options.name}_{options.index} EVALUATION_SET`")  # fmt: skip
    return EXIT_OK


def installable(folder: Path) -> str:
    """A folder as pip takes it for a folder: a bare name would be looked up on a package index."""
    path = str(folder)
    return shlex.quote(path if folder.is_absolute() or path.startswith(".") else f".{os.sep}{path}")
