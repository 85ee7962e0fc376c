"""How much of the gap between a tenth of the labels and all of them teachers close.

    python -m benchmarks.label_free synthetic             # benchmarks/results/label_free.json
    ESC10_DIR=... python -m benchmarks.label_free esc10   # the same file; folds 1 to 4, cross-validated

Students: trained on all labels; on a tenth of the recordings of each class, ten times as often; on the labels
of that tenth and the logits of the second one for all clips; on the same labels and the logits of the first
one. On synthetic scenes also on those logits alone, without any label. All have the same number of steps, but
for the first on ESC-10, which has the recipe's: twice as many. Scored on test clips that nobody was trained
on. A run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import esc10
from benchmarks.accuracy.plan import FOLDS, RECIPES, other_folds
from benchmarks.result_files import provenance, read_result, results_folder, write_json
from runtime import entry_point
from train.checkpoints.resume import resume_options

SHARE = 0.1


class Trial(NamedTuple):
    """A corpus to try it on.

    Attributes:
        data: in words.
        recipe: of all students.
        epochs: of all clips, for every student but the first.
        splits: options of every split, by name.
        taught: the students that have a teacher: name, teacher's folder, weight of the labels.
    """

    data: str
    recipe: Path
    epochs: int
    splits: dict[str, list[str]]
    taught: list[tuple[str, str, float]]


BY_THE_TENTH = ("a tenth and a teacher of that tenth", "tenth", 0.1)
BY_ALL = ("a tenth and a teacher of all labels", "all", 0.1)
TRIALS = {
    "synthetic": Trial(
        "synthetic scenes, 1500 training clips, 300 test clips with devices that nobody was trained on",
        RECIPES / "synthetic_demo.yaml",
        epochs=12,
        splits={"": []},
        taught=[
            BY_THE_TENTH,
            BY_ALL,
            ("a teacher of all labels alone", "all", 0.0),
        ],
    ),
    "esc10": Trial(
        "ESC-10, folds 1-4; each is tested once by students of the other three",
        esc10.RECIPE,
        epochs=40,
        splits={f"fold{fold}": esc10.folds(other_folds(fold), [fold]) for fold in FOLDS},
        taught=[BY_ALL, BY_THE_TENTH],
    ),
}


def main(arguments: list[str]) -> int:
    """Train what is missing, score, and write the table; returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_free", description=__doc__)
    parser.add_argument("corpus", choices=TRIALS)
    parser.add_argument("--runs", type=Path, default=Path("runs/label_free"), help="folder of the trainings")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    trial = TRIALS[options.corpus]
    runs = options.runs / options.corpus
    splits = [_students(trial, runs / name, fixed, options.seed) for name, fixed in trial.splits.items()]
    mean = {name: float(np.mean([accuracies[name] for accuracies in splits])) for name in splits[0]}
    low, full = mean["a tenth of the labels"], mean["all labels"]
    result = {
        "data": trial.data, "recipe": trial.recipe.name, "share_of_labels": SHARE,
        "runs": len(splits), "accuracy_of_clips": mean,
        "share_of_the_gap_recovered": {
            name: (value - low) / (full - low) for name, value in mean.items() if "teacher" in name
        },
        "splits": splits, **provenance({"trainings": options.seed}),
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    others = read_result("label_free") or {}
    write_json(results_folder() / "label_free.json", {**others, options.corpus: result})
    return entry_point.EXIT_OK


def _students(trial: Trial, runs: Path, split: list[str], seed: int) -> dict[str, float]:
    """Clip accuracy of every student of a split, by what it was trained with."""
    few = [f"--data.labelled={SHARE}", "--data.only_labelled=true"]
    few += [f"--trainer.max_epochs={round(trial.epochs / SHARE)}"]
    accuracies = {
        "all labels": _student(trial, runs / "all", seed, *split),
        "a tenth of the labels": _student(trial, runs / "tenth", seed, *split, *few),
    }
    for name, teacher, label_weight in trial.taught:
        logits = runs / f"{teacher}.h5"
        if not logits.is_file():
            asked = ("--teacher", str(runs / teacher / "model.pt"), f"--views={trial.epochs}")
            esc10.run_recipe("teach", trial.recipe, seed, *split, *asked, f"--output={logits}")
        accuracies[name] = _student(
            trial, runs / f"taught_by_{teacher}_{label_weight}", seed, *split,
            f"--data.labelled={SHARE if label_weight else 0.0}", f"--trainer.max_epochs={trial.epochs}",
            f"--model.distillation.stores=[{logits}]", f"--model.distillation.label_weight={label_weight}",
        )  # fmt: skip
    return accuracies


def _student(trial: Trial, folder: Path, seed: int, *changes: str) -> float:
    """Train and test a student unless that has been done; returns its accuracy."""
    report = folder / "test_report.json"
    options = (*changes, f"--trainer.default_root_dir={folder}")
    if not (folder / "model.pt").is_file():
        esc10.run_recipe("fit", trial.recipe, seed, *options, *resume_options(folder))
    if not report.is_file():
        esc10.run_recipe("test", trial.recipe, seed, *options)
    values: dict[str, Any] = json.loads(report.read_text())
    return float(values["clip_accuracy"])


if __name__ == "__main__":
    entry_point.run(main)
