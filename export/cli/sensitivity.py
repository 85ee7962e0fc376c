"""``export sensitivity``: which values of a model.pt INT8 hurts most."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from runtime.entry_point import EXIT_OK


def add_to(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "sensitivity", help="list the values that INT8 hurts most"
    )
    parser.add_argument("model", nargs="?", type=Path, default=Path("model.pt"), metavar="MODEL.PT")
    parser.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from train.checkpoints.model_pt import load
    from train.quantization.choose_ranges import sensitivities

    print("signal to noise of the logits with one value alone in INT8:")
    for row in sensitivities(load(options.model)):
        print(f"  {row.sqnr_db:5.1f} dB  {row.name}")
    return EXIT_OK
