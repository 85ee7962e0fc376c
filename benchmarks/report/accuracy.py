"""Accuracy from the results files: ``python -m benchmarks accuracy [-o JSON]``.

Nothing is trained here. The trainings are those of ``python -m benchmarks box-model``, ``esc10``,
``label-free`` and ``int8-unseen``; this collects what they have left, as rows, and says what was not run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.result_files import read_result, results_folder, write_result
from runtime.entry_point import EXIT_OK, run

NOT_RUN = (
    "students other than CP-Mobile on ESC-10, fsdd and synthetic scenes",
    "three seeds of each training: each row is one seed",
    "the accuracy of compiled C: its logits are those of the INT8 file (export/c/ARITHMETIC.md)",
)


def main(arguments: list[str]) -> int:
    """Collect the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks accuracy", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    options = parser.parse_args(arguments)
    result = {"rows": rows(), "not_run": NOT_RUN}
    write_result(options.output or results_folder() / "accuracy.json", result)
    print(json.dumps(result, indent=1))
    return EXIT_OK


def rows() -> list[dict[str, Any]]:
    """One row for a network, a corpus, a number format and a unit (windows or clips)."""
    found: list[dict[str, Any]] = []
    if box := read_result("box_model"):
        found += _of_folds("model in the box", box, {"fp32": "fp32", "int8": "PTQ INT8"})
    if esc10 := read_result("esc10"):
        kinds = {"fp32": "fp32", "ptq_int8": "PTQ INT8", "qat_int8": "QAT INT8"}
        found += _of_folds("CP-Mobile from labels alone", esc10, kinds)
    return found


def _of_folds(model: str, result: dict[str, Any], kinds: dict[str, str]) -> list[dict[str, Any]]:
    """By fold, with their mean."""
    table = []
    for kind, numbers in kinds.items():
        for unit in ("clips", "windows"):
            folds = {str(fold["fold"]): round(fold[f"{kind}_{unit}"], 4) for fold in result["folds"]}
            mean = round(sum(folds.values()) / len(folds), 4)
            table.append({"model": model, "corpus": "ESC-10", "numbers": numbers, "unit": unit,
                          "folds": folds, "mean": mean, "seeds": 1})  # fmt: skip
    return table


if __name__ == "__main__":
    run(main)
