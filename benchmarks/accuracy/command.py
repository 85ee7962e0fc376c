"""Train every student on every corpus and measure FP32, PTQ INT8, QAT INT8 and compiled C.

    ESC10_DIR=... FSDD_DIR=... MIC_IR_DIR=... python -m benchmarks accuracy [--quick]

Each cell (student x corpus x split x seed) is a training of its own, and a cell.json in the folder of the
runs once it is finished: the same command goes on where it was interrupted, and commands that run at the
same time share the cells of a folder among them. Writes benchmarks/results/accuracy.json from all finished
cells, those that it had before, and the cross-validations of ``box-model`` and ``esc10``; what of the plan
has no cell is named.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks.accuracy import summary
from benchmarks.accuracy.measurement import measure_cell, read_cells
from benchmarks.accuracy.plan import CORPORA, SEEDS, STUDENTS, Cell, Schedule, cells
from benchmarks.result_files import read_result, results_folder, write_result
from benchmarks.side_by_side.command import positive
from runtime.entry_point import EXIT_OK, EXIT_UNUSABLE, run
from runtime.errors import TinysceneError

_QUICK = Schedule(steps=60, qat_epochs=1)
_QUICK_STUDENTS = ("cp_mobile_narrow", "baseline_2024")


def main(arguments: list[str]) -> int:
    """Run the cells that are missing, then write the results; returns an exit code."""
    options = _parser().parse_args(arguments)
    failed = 0
    if not options.no_run:
        quick = options.quick
        default = _QUICK if quick else Schedule()
        schedule = Schedule(options.steps or default.steps, options.qat_epochs or default.qat_epochs)
        students = options.students or (_QUICK_STUDENTS if quick else list(STUDENTS))
        seeds = options.seeds or (SEEDS[:1] if quick else SEEDS)
        corpora = [name for name in options.corpora or CORPORA if _has_data(name)]
        failed = _run(list(cells(corpora, students, seeds)), schedule, options.runs)
    output = options.output or results_folder() / "accuracy.json"
    _write(output, options.runs)
    return EXIT_UNUSABLE if failed else EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks accuracy", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="few students, one seed, short trainings")
    parser.add_argument("--no-run", action="store_true", help="write the results from the finished cells")
    parser.add_argument("--students", nargs="+", choices=STUDENTS, metavar="NAME", help=", ".join(STUDENTS))
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, metavar="NAME", help=", ".join(CORPORA))
    parser.add_argument("--seeds", nargs="+", type=_natural, metavar="N", help="of the trainings; 0 1 2")
    parser.add_argument("--steps", type=positive, help=f"of each training; {Schedule().steps}")
    parser.add_argument("--qat-epochs", type=positive, help=f"at most --steps steps; {Schedule().qat_epochs}")
    parser.add_argument("--runs", type=Path, default=Path("runs/accuracy"), help="folder of the cells")
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    return parser


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number, 0 or more, not {text}")
    return int(text)


def _has_data(corpus: str) -> bool:
    unset = CORPORA[corpus].unset_variables()
    if unset:
        print(f"{corpus} is left out: set {' and '.join(unset)} to its folders.", file=sys.stderr)
    return not unset


def _run(plan: Sequence[Cell], schedule: Schedule, runs: Path) -> int:
    """Measure the cells; returns how many failed. One that fails does not stop the others."""
    failed = 0
    for number, cell in enumerate(plan, 1):
        begun = time.monotonic()
        tqdm.write(f"cell {number} of {len(plan)}: {cell}", file=sys.stderr)
        try:
            found = measure_cell(cell, schedule, runs)
        except TinysceneError as error:
            failed += 1
            tqdm.write(f"  failed: {error}", file=sys.stderr)
            continue
        if found is None:
            tqdm.write("  another process measures it", file=sys.stderr)
            continue
        shares = ", ".join(f"{form} {100 * of['clips']:.1f} %" for form, of in found["accuracy"].items())
        tqdm.write(f"  clips: {shares} ({time.monotonic() - begun:.0f} s)", file=sys.stderr)
    return failed


def _write(output: Path, runs: Path) -> None:
    before = (read_result("accuracy") or {}).get("cells", [])
    found = summary.merged(before, read_cells(runs))
    rows = summary.rows_of_cells(found) + summary.collected_rows()
    write_result(output, {"rows": rows, "not_run": summary.not_run(found), "cells": found})
    print(f"wrote {output}: {len(found)} cells", file=sys.stderr)


if __name__ == "__main__":
    run(main)
