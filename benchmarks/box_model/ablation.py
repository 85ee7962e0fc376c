"""What brings the accuracy of the model in the box: its training without each of its parts.

All variants are one training by the recipe of captures, with larger batches and weights averaged over steps,
so that a GPU is busy and a run is short. The reference lacks nothing; the last variant has four times the
steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.box_model.trainings import STUDENT, Trainings
from benchmarks.esc10 import held_out_windows
from export.verification.conditions import conditions
from export.verification.window_scores import float_scores_of, has_signal, under, windows_of
from train.checkpoints import model_pt

STEPS, BATCH = 1_049, 128
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
    "--seed_everything=0",
    "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging",
    "--trainer.callbacks.decay=0.999",
)
_T_95 = {2: 12.706, 3: 4.303, 4: 3.182}  # Student's t for 95 % by the number of folds


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
        rows = [
            _measure(path, fold, responses) for fold, path in tqdm(paths.items(), desc=lacking, disable=None)
        ]
        found[lacking] = {
            "steps": length,
            "windows": {condition: [row[condition] for row in rows] for condition in CONDITIONS},
            "clips": [row["clips"] for row in rows],
        }
    reference = found[REFERENCE]
    for lacking, values in found.items():
        if lacking != REFERENCE and len(folds) > 1:
            values["gain"] = {
                "windows": gain(reference["windows"]["clean"], values["windows"]["clean"]),
                "clips": gain(reference["clips"], values["clips"]),
            }
    return found


def gain(reference: Sequence[float], other: Sequence[float]) -> list[float]:
    """What a reference has more than another training, in points.

    Args:
        reference: shares that are right, by fold.
        other: the same two to four folds.

    Returns:
        The mean over the folds, and the ends of its 95 % interval by Student's t.
    """
    points = 100 * (np.array(reference) - np.array(other))
    half = _T_95[len(points)] * float(points.std(ddof=1)) / math.sqrt(len(points))
    mean = float(points.mean())
    return [mean, mean - half, mean + half]


def _measure(path: Path, fold: int, responses: Path) -> dict[str, float]:
    """The shares of windows that FP32 has right by condition, and of clips."""
    checkpoint = model_pt.load(path)
    data = held_out_windows(checkpoint, fold)
    waveform, target = windows_of(data)
    right: dict[str, float] = {}
    label = target.argmax(axis=1)
    named = conditions(str(responses), ())
    for name in CONDITIONS:
        changed = under(named[name], waveform, data.sample_rate)
        answered = has_signal(changed)
        scores = float_scores_of(checkpoint, changed[answered])
        right[name] = float((scores.argmax(axis=1) == label[answered]).mean())
        if name == "clean":
            clip = np.array([window.clip for window in data.datasets["test"].windows])[answered]
            of_clip = [np.flatnonzero(clip == number) for number in np.unique(clip)]
            good = [scores[rows].mean(0).argmax() == label[answered][rows[0]] for rows in of_clip]
            right["clips"] = float(np.mean(good))
    return right


def table(found: Mapping[str, Any]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| without | steps | windows | at -30 dB | at +20 dB, clipped | clips "
        "| windows that it costs, points | clips, points |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for lacking, values in found.items():
        shares = [*values["windows"].values(), values["clips"]]
        cells = [f"{100 * float(np.mean(folds)):.1f} %" for folds in shares]
        more = ["", ""]
        if gains := values.get("gain"):
            more = ["{:+.1f} ({:+.1f} to {:+.1f})".format(*gains[kind]) for kind in ("windows", "clips")]
        lines.append(f"| {lacking} | {values['steps']:,} | {' | '.join((*cells, *more))} |")
    return "\n".join(lines)
