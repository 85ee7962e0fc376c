"""``export sherpa``: a CED tagger in the layout of sherpa-onnx's audio tagging."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from runtime.entry_point import EXIT_NEGATIVE, EXIT_OK


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "sherpa", help="write a CED tagger as sherpa-onnx's audio tagging reads it"
    )
    parser.add_argument("model", nargs="?", type=Path, default=Path("model.pt"), metavar="MODEL.PT")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR",
        help="folder of model.onnx and class_labels_indices.csv (default: sherpa, beside the model.pt)",
    )  # fmt: skip
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from export.sherpa import write
    from train.checkpoints.model_pt import load

    folder = options.output or options.model.parent / "sherpa"
    written = write(load(options.model), folder)
    print(written.check)
    if not written.check.passed:
        print(f"{written.model} was not written: please report it with the model.pt.")
        return EXIT_NEGATIVE
    print(f"wrote {written.model} and {written.labels.name}: --ced-model and --labels of sherpa-onnx")
    return EXIT_OK
