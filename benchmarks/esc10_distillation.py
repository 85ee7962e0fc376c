"""What teachers bring on ESC-10, cross-validated: the same student with and without them.

    ESC10_DIR=... python -m benchmarks.esc10_distillation    # benchmarks/results/esc10_distillation.json

Each of the folds 1 to 4 is tested once; fold 5 is never read. On the other three the student of
train/recipes/esc10_cp_mobile.yaml learns from labels alone, CP-ResNet by the same recipe on two front ends,
and the three together teach a fresh student (train/recipes/esc10_cp_mobile_kd.yaml) on every view that it is
shown. Nothing is chosen on a test fold. The interval is a paired bootstrap over the tested recordings. A run
that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from benchmarks.esc10 import (
    FOLDS,
    RECIPE,
    RESULTS,
    fit,
    held_out_windows,
    machine,
    torch_probabilities,
)
from runtime import door
from runtime.files import write_beside
from train import checkpoint
from train.data import Clip
from train.evaluation import clip_means

TAUGHT = Path("train/recipes/esc10_cp_mobile_kd.yaml")
LARGE = ("--model.student=cp_resnet", "--allow-over-budget")
TEACHERS = {"student": (), "resnet": LARGE, "resnet_passt": (*LARGE, "--model.frontend=passt_mel")}
_RESAMPLES = 10_000

Right = npt.NDArray[np.bool_]


def main(arguments: list[str]) -> int:
    """Train what is missing, score, and write the table; returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.esc10_distillation", description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/esc10_distillation"), help="of the trainings")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rows, right, groups = [], [], []
    for fold in FOLDS:
        models = _train(options.runs, fold, options.seed)
        row, scored, recordings = _score(models, fold)
        rows.append(row)
        right.append(scored)
        groups += recordings
        print(json.dumps(row), flush=True)
    pooled = {name: np.concatenate([scored[name] for scored in right]) for name in right[0]}
    low, high = interval(pooled["taught"], pooled["student"], groups, options.seed)
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key != "fold"}
    result = {
        "data": "ESC-10, folds 1-4; each row is tested on one fold and trained on the other three",
        "recipes": [str(RECIPE), str(TAUGHT)], "teachers": list(TEACHERS), "seed": options.seed,
        "runs": len(rows), "folds": rows, "mean": mean,
        "gain_of_clips": mean["taught_clips"] - mean["student_clips"], "interval_95": [low, high],
        "interval": f"paired bootstrap over {len(set(groups))} recordings, {_RESAMPLES} resamples",
        "machine": machine(), "command": "python -m benchmarks.esc10_distillation",
    }  # fmt: skip
    print(f"gain {result['gain_of_clips']:+.1%} of clips, 95 % interval {low:+.1%} to {high:+.1%}")
    with write_beside(RESULTS / "esc10_distillation.json") as partial:
        partial.write_text(json.dumps(result, indent=2) + "\n")
    return door.EXIT_OK


def _train(runs: Path, fold: int, seed: int) -> dict[str, Path]:
    """Student, teachers and taught student of one split: name to model.pt."""
    others = [other for other in FOLDS if other != fold]
    models = {
        name: fit(runs / name / f"fold{fold}", others, [fold], seed, *changes)
        for name, changes in TEACHERS.items()
    }
    teachers = f"--model.distillation.teachers=[{','.join(str(path) for path in models.values())}]"
    taught = fit(runs / "taught" / f"fold{fold}", others, [fold], seed, teachers, recipe=TAUGHT)
    return {**models, "taught": taught}


def _score(models: dict[str, Path], fold: int) -> tuple[dict[str, Any], dict[str, Right], list[str]]:
    """Accuracies on a fold, which clips every model has right, and of which recording each clip is."""
    loaded = {name: checkpoint.load(path) for name, path in models.items()}
    data = held_out_windows(loaded["student"], fold)
    clips: list[Clip] = list(data.datasets["test"].clips)
    probabilities = {}
    for name, model in loaded.items():
        held_out_windows(model, fold)  # has it learnt from this fold?
        probabilities[name], places = torch_probabilities(model, data)
    mean_log = np.log(np.stack([probabilities[name] for name in TEACHERS])).mean(axis=0)
    probabilities["teachers"] = softmax(mean_log, axis=1)  # as the mean of their logits gives it
    row: dict[str, Any] = {"fold": fold}
    right: dict[str, Right] = {}
    for name, answers in probabilities.items():
        heard, index, of_clips = clip_means(answers, places)
        target = np.array([clips[clip].target for clip in heard])
        right[name] = of_clips.argmax(axis=1) == target
        row[f"{name}_clips"] = float(right[name].mean())
        row[f"{name}_windows"] = float((answers.argmax(axis=1) == target[index]).mean())
    return row, right, [clips[clip].group for clip in heard]


def interval(taught: Right, alone: Right, groups: list[str], seed: int) -> tuple[float, float]:
    """95 % interval of the difference in accuracy, resampling whole recordings with replacement.

    Args:
        taught: [clips], whether the taught student is right.
        alone: [clips], whether the other one is.
        groups: [clips], the recording that each clip was cut from.
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
    door.run(main)
