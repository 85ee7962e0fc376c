"""``python -m benchmarks.box_model crossvalidate | ship | ablate | without-teacher``: see the package."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy.plan import FOLDS
from benchmarks.box_model import __doc__ as description
from benchmarks.box_model import ablation, card
from benchmarks.box_model.measurement import measure_fold
from benchmarks.box_model.summary import summarise
from benchmarks.box_model.trainings import STUDENT, TEACHER, Trainings, seed_of
from benchmarks.report import tables
from benchmarks.result_files import read_result, results_folder, write_result
from export.pipeline import default_method, export_model
from runtime import entry_point
from runtime.errors import TinysceneError
from runtime.files import write_beside
from train.checkpoints import model_pt

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
        "runs": len(folds), "steps": trainings.student_steps, "labels": list(models[0].labels),
        **summarise(folds, models[0].labels),
    }  # fmt: skip
    seeds = {recipe.stem: seed_of(recipe) for recipe in (TEACHER, *STUDENT)}
    write_result(results_folder() / "box_model.json", result, seeds)
    print(card.results_text(result))
    return entry_point.EXIT_OK


def ablate(trainings: Trainings, chosen: Sequence[int], responses: Path) -> int:
    """Train without each part and measure, write the results."""
    found = ablation.ablate(trainings, chosen, responses)
    settings = {"recipe": STUDENT[1].name, "batch_size": ablation.BATCH}
    return _write_variants("box_model_ablation", chosen, {**settings, "without": found}, ablation.SEED)


def without_teacher(trainings: Trainings, chosen: Sequence[int], responses: Path) -> int:
    """Train the first recipe with and without its teacher and measure, write the results."""
    found = ablation.without_teacher(trainings, chosen, responses)
    values = {"recipe": STUDENT[0].name, "without": found}
    return _write_variants("box_model_without_teacher", chosen, values, seed_of(STUDENT[0]))


def _write_variants(name: str, chosen: Sequence[int], values: dict[str, Any], seed: int) -> int:
    result = {
        "data": f"ESC-10, {_named(chosen)}, each tested by models that were trained on the others of 1 to 4",
        "runs": len(chosen), "kind": ablation.KIND.upper(), **values,
    }  # fmt: skip
    write_result(results_folder() / f"{name}.json", result, {"trainings": seed})
    print(tables.ablation(result))
    return entry_point.EXIT_OK


def ship(trainings: Trainings) -> int:
    """Train on all folds; write the packaged model and its card."""
    result = read_result("box_model")
    if result is None:
        raise TinysceneError(
            "There is no results/box_model.json: run `python -m benchmarks.box_model crossvalidate` first."
        )
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


if __name__ == "__main__":
    entry_point.run(main)
