"""What brings the accuracy of the packaged model: its training without each of its parts.

`without_teacher` compares the first of its two trainings, as the recipe has it, with and without the teacher.
All variants of `ablate` are one training by the recipe of captures, with larger batches and weights averaged
over steps, so that a GPU is busy and a run is short. Its reference lacks nothing; the last variant has four
times the steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.summary import half_width
from benchmarks.box_model.measurement import Arrays, under_conditions
from benchmarks.box_model.summary import accuracy, clips_right
from benchmarks.box_model.trainings import STUDENT, Trainings
from benchmarks.esc10 import held_out_windows
from export.verification.conditions import conditions
from export.verification.window_scores import float_scores_of
from train.checkpoints import model_pt

STEPS, BATCH, SEED = 1_049, 128, 0
KIND = "fp32"
REFERENCE, LONGER = "nothing", "nothing, four times the steps"
VARIANTS: Mapping[str, tuple[str, ...]] = {
    REFERENCE: (),
    "the teacher": ("--model.distillation=null",),
    "mixtures": ("--model.augmentation.scene.mix_p=0",),
    "captures": ("--model.augmentation.capture=null",),
    LONGER: (),
}
CONDITIONS = ("clean", "level -30 dB", "level +20 dB")
_COMMON = (
    f"--seed_everything={SEED}",
    "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging",
    "--trainer.callbacks.decay=0.999",
)


def ablate(trainings: Trainings, folds: Sequence[int], responses: Path) -> dict[str, Any]:
    """Train and measure every variant on every fold.

    Returns:
        By what a variant lacks: ``steps``; ``windows`` by condition and ``clips``, each the share that FP32
        has right on each fold; and ``gain``, what the reference has more (`gain`).
    """
    steps = trainings.steps or STEPS
    found: dict[str, Any] = {}
    for lacking, options in VARIANTS.items():
        name = lacking.replace(" ", "_").replace(",", "")
        length = 4 * steps if lacking == LONGER else steps
        more = (f"--data.batch_size={BATCH}", f"--trainer.max_steps={length}", *_COMMON, *options)
        paths = {
            fold: trainings.single(f"without_{name}/fold{fold}", STUDENT[1], fold, more) for fold in folds
        }
        found[lacking] = {"steps": length, **_measured(paths, responses)}
    return _with_gains(found)


def without_teacher(trainings: Trainings, folds: Sequence[int], responses: Path) -> dict[str, Any]:
    """Train the first recipe with and without its teacher, in full, and measure on every fold.

    Returns:
        As `ablate`.
    """
    found: dict[str, Any] = {}
    for lacking, taught in ((REFERENCE, True), ("the teacher", False)):
        paths = {fold: trainings.first(fold, taught=taught) for fold in folds}
        found[lacking] = {"steps": trainings.steps_of(STUDENT[0]), **_measured(paths, responses)}
    return _with_gains(found)


def _measured(paths: Mapping[int, Path], responses: Path) -> dict[str, Any]:
    """The shares that the models of the folds have right: ``windows`` by condition, and ``clips``."""
    measured = [_measure(path, fold, responses) for fold, path in paths.items()]
    return {
        "windows": {
            condition: [accuracy([arrays], condition, KIND).value for arrays in measured]
            for condition in CONDITIONS
        },
        "clips": [float(clips_right(arrays, KIND).mean()) for arrays in measured],
    }


def _with_gains(found: dict[str, Any]) -> dict[str, Any]:
    """Add what the reference has more than each other variant, where there are two folds or more."""
    reference = found[REFERENCE]
    for lacking, values in found.items():
        if lacking != REFERENCE and len(values["clips"]) > 1:
            values["gain"] = {
                "windows": gain(reference["windows"]["clean"], values["windows"]["clean"]),
                "clips": gain(reference["clips"], values["clips"]),
            }
    return found


def gain(reference: Sequence[float], other: Sequence[float]) -> list[float]:
    """What a reference has more than another training, in points.

    Args:
        reference: shares that are right, by fold.
        other: the same folds, two or more.

    Returns:
        The mean over the folds, and the ends of its 95 % interval by Student's t.
    """
    points = 100 * (np.array(reference) - np.array(other))
    mean, half = float(points.mean()), half_width(points)
    assert half is not None  # there are two folds or more
    return [mean, mean - half, mean + half]


def _measure(path: Path, fold: int, responses: Path) -> Arrays:
    """What FP32 gives on the windows of the fold; see `under_conditions`."""
    checkpoint = model_pt.load(path)
    every = conditions(str(responses), ())
    return under_conditions(
        held_out_windows(checkpoint, fold),
        {name: every[name] for name in CONDITIONS},
        {KIND: lambda windows: float_scores_of(checkpoint, windows)},
    )
