"""What teachers bring on ESC-10, cross-validated: the same student with and without them.

    ESC10_DIR=... python -m benchmarks.esc10_distillation    # benchmarks/results/esc10_distillation.json

Each of the folds 1 to 4 is tested once; fold 5 is never read. Three networks are trained on the other folds:
the student of train/recipes/esc10_cp_mobile.yaml and, by the same recipe, `narrow_resnet` (515,252
parameters, a narrow ResNet after CP-ResNet) on two front ends. They are the teachers of a new student, on
every view that it is shown (train/recipes/esc10_cp_mobile_kd.yaml). Nothing is chosen on a test fold. The
interval is a paired bootstrap over the tested recordings. A run that was interrupted goes on where it
stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from benchmarks.accuracy.plan import FOLDS, RECIPES, other_folds
from benchmarks.esc10 import RECIPE, fit, held_out_windows, torch_probabilities
from benchmarks.result_files import results_folder, write_result
from runtime import entry_point
from train.checkpoints import model_pt
from train.data import Clip
from train.training.evaluation import clip_means

TAUGHT = RECIPES / "esc10_cp_mobile_kd.yaml"
LARGE = ("--model.student=narrow_resnet", "--allow-over-budget")
TEACHERS = {"student": (), "resnet": LARGE, "resnet_passt": (*LARGE, "--model.frontend=passt_mel")}
_RESAMPLES = 10_000

Right = npt.NDArray[np.bool_]


def main(arguments: list[str]) -> int:
    """Train what is missing, score, and write the table; returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.esc10_distillation", description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/esc10_distillation"), help="of the trainings")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    scored = [_score(_train(options.runs, fold, options.seed), fold) for fold in FOLDS]
    rows = [{"fold": fold, **_accuracies(correct)} for fold, correct in zip(FOLDS, scored, strict=True)]
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key != "fold"}
    gains = {}
    for unit in ("clips", "windows"):
        parts = [of_fold[unit] for of_fold in scored]
        taught, alone = (np.concatenate([p.right[name] for p in parts]) for name in ("taught", "student"))
        recordings = [recording for p in parts for recording in p.recordings]
        low, high = interval(taught, alone, recordings, options.seed)
        gains[unit] = {"gain": mean[f"taught_{unit}"] - mean[f"student_{unit}"], "interval_95": [low, high]}
        print(f"{unit}: {gains[unit]['gain']:+.1%}, 95 % interval {low:+.1%} to {high:+.1%}")
    result = {
        "data": "ESC-10, folds 1-4; each row is tested on one fold and trained on the other three",
        "recipes": [RECIPE.name, TAUGHT.name], "teachers": list(TEACHERS),
        "runs": len(rows), "folds": rows, "mean": mean, "taught_less_student": gains,
        "interval": f"paired bootstrap over {len(set(recordings))} recordings, {_RESAMPLES} resamples",
    }  # fmt: skip
    seeds = {"trainings": options.seed, "resampling": options.seed}
    write_result(results_folder() / "esc10_distillation.json", result, seeds)
    return entry_point.EXIT_OK


class Correct(NamedTuple):
    """Where models were right on a test fold, clip by clip or window by window.

    Attributes:
        right: model to bool [clips or windows], whether it was right.
        recordings: [clips or windows], what each was cut from.
    """

    right: dict[str, Right]
    recordings: list[str]


def _train(runs: Path, fold: int, seed: int) -> dict[str, Path]:
    """Student, teachers and the student with teachers of one split: name to model.pt."""
    others = other_folds(fold)
    models = {
        name: fit(runs / name / f"fold{fold}", others, [fold], seed, *changes)
        for name, changes in TEACHERS.items()
    }
    teachers = f"--model.distillation.teachers=[{','.join(str(path) for path in models.values())}]"
    taught = fit(runs / "taught" / f"fold{fold}", others, [fold], seed, teachers, recipe=TAUGHT)
    return {**models, "taught": taught}


def _score(models: dict[str, Path], fold: int) -> dict[str, Correct]:
    """Where every model, and the mean of the teachers, is right on the clips and windows of a fold."""
    loaded = {name: model_pt.load(path) for name, path in models.items()}
    data = held_out_windows(loaded["student"], fold)
    clips: list[Clip] = list(data.datasets["test"].clips)
    probabilities = {}
    for name, model in loaded.items():
        held_out_windows(model, fold)  # raises where it was trained on this fold
        probabilities[name], places = torch_probabilities(model, data)
    mean_log = np.log(np.stack([probabilities[name] for name in TEACHERS])).mean(axis=0)
    probabilities["teachers"] = softmax(mean_log, axis=1)  # as the mean of their logits gives it
    of_windows: dict[str, Right] = {}
    of_clips: dict[str, Right] = {}
    for name, of_model in probabilities.items():
        scored, index, means = clip_means(of_model, places)
        target = np.array([clips[clip].target for clip in scored])
        of_clips[name] = means.argmax(axis=1) == target
        of_windows[name] = of_model.argmax(axis=1) == target[index]
    recordings = [clips[clip].group for clip in scored]
    return {
        "clips": Correct(of_clips, recordings),
        "windows": Correct(of_windows, [recordings[place] for place in index]),
    }


def _accuracies(correct: dict[str, Correct]) -> dict[str, float]:
    """By model and unit, such as ``taught_clips``."""
    return {
        f"{name}_{unit}": float(right.mean())
        for unit, of_unit in correct.items()
        for name, right in of_unit.right.items()
    }


def interval(taught: Right, alone: Right, groups: list[str], seed: int) -> tuple[float, float]:
    """95 % interval of the difference in accuracy, resampling whole recordings with replacement.

    Args:
        taught: [clips or windows], whether the student with teachers is right.
        alone: the same of the other one.
        groups: the recording that each clip or window was cut from.
        seed: of the resampling.
    """
    names, member = np.unique(groups, return_inverse=True)
    gain = np.bincount(member, taught.astype(float) - alone)
    count = np.bincount(member)
    drawn = np.random.default_rng(seed).integers(len(names), size=(_RESAMPLES, len(names)))
    differences = gain[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.percentile(differences, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    entry_point.run(main)
