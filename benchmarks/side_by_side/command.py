"""What the commands of the side-by-side benchmarks share: their options, and how a result is written."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from benchmarks.result_files import results_folder, write_result
from benchmarks.side_by_side import artefacts
from benchmarks.side_by_side.environments import Environments
from runtime.entry_point import EXIT_OK

Measure = Callable[[artefacts.Artefacts, Environments], Mapping[str, Any]]


def make_parser(
    name: str, description: str | None, repeat: Literal["rounds", "runs"], count: int
) -> argparse.ArgumentParser:
    """A parser with ``--model``, how often to repeat, and ``-o``.

    Args:
        name: of the command.
        description: the module's docstring.
        repeat: what the option for the number of repetitions is called.
        count: its default.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}", description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--model", type=Path, metavar="MODEL.PT", help="a CP-Mobile")
    parser.add_argument(f"--{repeat}", type=positive, default=count, metavar="N", help=f"default {count}")
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    return parser


def positive(text: str) -> int:
    """A whole number of 1 or more, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of repetitions: give 1 or more")
    return int(text)


def results_path(name: str, options: argparse.Namespace) -> Path:
    """Where the results of a command are written: as ``-o`` says, or in the results folder."""
    path: Path | None = options.output
    return path or results_folder() / f"{name}.json"


def measure_and_write(
    name: str,
    options: argparse.Namespace,
    contestants: Iterable[str],
    measure: Measure,
    shown: str | None = "ratios",
    seeds: Mapping[str, int] | None = None,
) -> int:
    """Make the contestants' files, measure, write ``NAME.json`` and print.

    Args:
        name: of the results file.
        options: of a parser of `make_parser`.
        contestants: their names.
        measure: takes the files and the environments.
        shown: which of the values are printed; all where None.
        seeds: for the results file.
    """
    environments = Environments.default()
    result = measure(artefacts.make(environments, contestants, options.model), environments)
    write_result(results_path(name, options), result, seeds)
    print(json.dumps(result if shown is None else result[shown], indent=1))
    return EXIT_OK
