"""``python -m benchmarks.box_model crossvalidate | ship | ablate | without-teacher``: see the package."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.box_model import __doc__ as description
from benchmarks.box_model import ablation, card
from benchmarks.box_model.measurement import measure_fold
from benchmarks.box_model.summary import summarise
from benchmarks.box_model.trainings import FOLDS, STUDENT, TEACHER, Trainings, seed_of
from benchmarks.esc10 import machine
from benchmarks.report import tables
from export.pipeline import default_method, export_model
from runtime import entry_point
from runtime.errors import TinysceneError
from runtime.files import write_beside
from train.checkpoints import model_pt

RESULTS = Path(__file__).parents[1] / "results" / "box_model.json"
ABLATION = RESULTS.with_name("box_model_ablation.json")
WITHOUT_TEACHER = RESULTS.with_name("box_model_without_teacher.json")
BOX, CARD = Path("runtime/models/esc10.onnx"), Path("MODEL_CARD.md")


def main(arguments: list[str]) -> int:
    """Run a command; returns an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.box_model", description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("command", choices=("crossvalidate", "ship", "ablate", "without-teacher"))
    parser.add_argument("--teacher", type=Path, required=True, metavar="FILE", help="mn04_as_mAP_432.pt")
    parser.add_argument("--teacher-labels", type=Path, metavar="CSV", help="default: beside the teacher")
    parser.add_argument("--negatives", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--responses", type=Path, default=os.environ.get("MIC_IR_DIR"), metavar="DIR")
    parser.add_argument("--unheard", type=Path, metavar="DIR", help="more negatives, for the test alone")
    parser.add_argument("--runs", type=Path, default=Path("runs/box_model"), metavar="DIR")
    parser.add_argument("--folds", type=int, nargs="+", choices=FOLDS, default=FOLDS, help="to be tested on")
    parser.add_argument("--steps", type=int, help="of each training of the student; default: the recipe's")
    options = parser.parse_args(arguments)
    if options.responses is None:
        raise TinysceneError(
            "Name the folder of microphone impulse responses: --responses DIR or MIC_IR_DIR."
        )
    labels = options.teacher_labels or options.teacher.with_name("class_labels_indices.csv")
    trainings = Trainings(options.runs, options.teacher, labels, options.negatives, options.steps)
    if options.command == "crossvalidate":
        return crossvalidate(trainings, options.folds, options.responses, options.unheard)
    if options.command == "ablate":
        return ablate(trainings, options.folds, options.responses)
    if options.command == "without-teacher":
        return without_teacher(trainings, options.folds, options.responses)
    return ship(trainings)


def crossvalidate(
    trainings: Trainings, chosen: Sequence[int], responses: Path, unheard: Path | None = None
) -> int:
    """Train and measure the folds, write the results."""
    folds, models = {}, []
    for fold in chosen:
        path = trainings.fold(fold)
        models.append(model_pt.load(path))
        folds[fold] = measure_fold(path, fold, responses, trainings.negatives, unheard)
    result = {
        "data": f"ESC-10, {_named(chosen)}, each tested by a model that was trained on the others of 1 to 4",
        "recipes": [str(TEACHER), *map(str, STUDENT)], "seeds": [*map(seed_of, (TEACHER, *STUDENT))],
        "runs": len(folds),
        "steps": trainings.student_steps, "labels": list(models[0].labels),
        **summarise(folds, models[0].labels), "machine": machine(),
        "command": f"python -m benchmarks.box_model crossvalidate --folds {' '.join(map(str, chosen))}"
        + " --unheard DIR" * (unheard is not None),
    }  # fmt: skip
    _write_json(RESULTS, result)
    print(card.results_text(result))
    return entry_point.EXIT_OK


def ablate(trainings: Trainings, chosen: Sequence[int], responses: Path) -> int:
    """Train without each part and measure, write the results."""
    found = ablation.ablate(trainings, chosen, responses)
    settings = {"recipe": str(STUDENT[1]), "batch_size": ablation.BATCH, "seed": ablation.SEED}
    return _write_variants(ABLATION, "ablate", chosen, {**settings, "without": found})


def without_teacher(trainings: Trainings, chosen: Sequence[int], responses: Path) -> int:
    """Train the first recipe with and without its teacher and measure, write the results."""
    found = ablation.without_teacher(trainings, chosen, responses)
    settings = {"recipe": str(STUDENT[0]), "seed": seed_of(STUDENT[0])}
    return _write_variants(WITHOUT_TEACHER, "without-teacher", chosen, {**settings, "without": found})


def _write_variants(path: Path, command: str, chosen: Sequence[int], values: dict[str, Any]) -> int:
    result = {
        "data": f"ESC-10, {_named(chosen)}, each tested by models that were trained on the others of 1 to 4",
        "runs": len(chosen), "kind": ablation.KIND.upper(), **values, "machine": machine(),
        "command": f"python -m benchmarks.box_model {command} --folds {' '.join(map(str, chosen))}",
    }  # fmt: skip
    _write_json(path, result)
    print(tables.ablation(result))
    return entry_point.EXIT_OK


def ship(trainings: Trainings) -> int:
    """Train on all folds; write the model in the box and its card."""
    if not RESULTS.is_file():
        raise TinysceneError(
            f"There is no {RESULTS}: run `python -m benchmarks.box_model crossvalidate` first."
        )
    result = json.loads(RESULTS.read_text())
    model = model_pt.load(trainings.all_folds())
    clean = result["conditions"]["clean"]["int8"]["value"]
    held_out = {"how": result["data"], "windows": clean, "clips": result["clips"]["int8"]["value"]}
    model = dataclasses.replace(
        model,
        temperature=result["temperature"],
        thresholds=result["thresholds"],
        provenance={**model.provenance, "held_out": held_out},
    )
    exported = export_model(model, BOX, method=default_method(model))
    print(exported.verification)
    if not exported.verification.passed:
        return entry_point.EXIT_NEGATIVE
    with write_beside(CARD) as partial:
        partial.write_text(card.model_card(result, BOX))
    print(f"wrote {BOX} ({exported.file_bytes:,} bytes) and {CARD}")
    return entry_point.EXIT_OK


def _named(folds: Sequence[int]) -> str:
    return f"fold{'s' * (len(folds) > 1)} {', '.join(map(str, folds))}"


def _write_json(path: Path, result: dict[str, Any]) -> None:
    with write_beside(path) as partial:
        partial.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    entry_point.run(main)
