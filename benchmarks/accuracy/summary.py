"""Finished cells as rows with means and intervals, and what is missing of the plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from benchmarks.accuracy.plan import CORPORA, SEEDS, STUDENTS, Schedule
from benchmarks.result_files import read_result

Values = dict[str, Any]
FORMS = ("FP32", "PTQ INT8", "QAT INT8", "C")
UNITS = ("clips", "windows")
_KEY = ("corpus", "student", "steps", "qat_steps")


def merged(*sources: Sequence[Values]) -> list[Values]:
    """The cells of all sources in the order of the plan; of two of the same training the last one."""
    places = {
        "corpus": list(CORPORA), "student": list(STUDENTS),
        "split": [split for corpus in CORPORA.values() for split in corpus.splits],
    }  # fmt: skip
    found = {}
    for cell in (cell for cells in sources for cell in cells):
        if all(cell[name] in known for name, known in places.items()):
            place = {name: known.index(cell[name]) for name, known in places.items()}
            key = (place["corpus"], place["student"], cell["steps"], cell["qat_steps"])
            found[(*key, place["split"], cell["seed"])] = cell
    return [found[key] for key in sorted(found)]


def rows_of_cells(cells: Sequence[Values]) -> list[Values]:
    """A row for each student, corpus, length of training, form and unit.

    Args:
        cells: in the order of `merged`.
    """
    rows = []
    for key, group in groupby(cells, key=lambda cell: tuple(cell[name] for name in _KEY)):
        members = list(group)
        corpus, student, steps, qat_steps = key
        common = {
            "model": student, "corpus": CORPORA[corpus].title, "steps": steps, "qat_steps": qat_steps,
            "int8_bytes": members[0]["int8_bytes"], "params": members[0]["params"],
        }  # fmt: skip
        for form in FORMS:
            for unit in UNITS:
                values = [
                    (cell["split"], cell["accuracy"][form][unit])
                    for cell in members
                    if form in cell["accuracy"]
                ]
                if values:
                    seeds = len({cell["seed"] for cell in members})
                    rows.append({**common, "numbers": form, "unit": unit, **_mean(values), "seeds": seeds})
    return rows


def collected_rows() -> list[Values]:
    """The same of the cross-validations that are benchmarks of their own, from their results files."""
    found: list[Values] = []
    if box := read_result("box_model"):
        found += _of_folds("packaged model", box, {"fp32": "FP32", "int8": "PTQ INT8"})
    if esc10 := read_result("esc10"):
        kinds = {"fp32": "FP32", "ptq_int8": "PTQ INT8", "qat_int8": "QAT INT8"}
        found += _of_folds("CP-Mobile from labels alone", esc10, kinds)
    return found


def _of_folds(model: str, result: Values, kinds: Mapping[str, str]) -> list[Values]:
    table = []
    for kind, form in kinds.items():
        for unit in UNITS:
            values = [(f"fold {fold['fold']}", round(fold[f"{kind}_{unit}"], 4)) for fold in result["folds"]]
            row = {"model": model, "corpus": "ESC-10", "numbers": form, "unit": unit}
            table.append({**row, **_mean(values), "seeds": 1})
    return table


def _mean(values: Sequence[tuple[str, float]]) -> Values:
    """Of each split the mean of its seeds, the mean of these, and the half width of its interval.

    Seeds of one split are tested on the same clips, so they are no independent values beside other splits:
    the interval is over splits where there are several, and over the seeds of the only one otherwise.
    """
    splits: dict[str, list[float]] = {}
    for split, value in values:
        splits.setdefault(split, []).append(value)
    means = {split: sum(of) / len(of) for split, of in splits.items()}
    over, independent = (
        ("folds", list(means.values())) if len(means) > 1 else ("seeds", [value for _, value in values])
    )
    # of two values the interval says nothing
    half = half_width(independent) if len(independent) > 2 else None
    return {
        "folds": {split: round(mean, 4) for split, mean in means.items()},
        "mean": round(sum(means.values()) / len(means), 4), "cells": len(values),
        "half_width": None if half is None else round(half, 4),
        "interval_over": None if half is None else f"{len(independent)} {over}",
    }  # fmt: skip


def half_width(values: Sequence[float] | npt.NDArray[Any]) -> float | None:
    """Of the 95 % interval of a mean, by Student's t; None for a single value."""
    if len(values) < 2:
        return None
    deviation = float(np.std(values, ddof=1))
    return float(stdtrit(len(values) - 1, 0.975)) * deviation / math.sqrt(len(values))


def not_run(cells: Sequence[Values]) -> list[str]:
    """What the plan has and the cells lack, in words; the plan has every student, corpus, split and seed."""
    sentences = []
    for corpus in CORPORA:
        lacks: dict[str, list[str]] = {}
        for student in STUDENTS:
            if words := _missing(cells, corpus, student):
                lacks.setdefault(words, []).append(student)
        for words, students in lacks.items():
            names = "all students" if len(students) == len(STUDENTS) else ", ".join(students)
            sentences.append(f"{CORPORA[corpus].title}, {names}: {words}")
    full = Schedule().steps
    short = _places(cells) - _places([cell for cell in cells if cell["steps"] >= full])
    if short:
        sentences.append(
            f"trainings of {full:,} steps, the command's default: {len(short)} cells are of fewer"
        )
    return sentences + _without_form(cells)


def _place(cell: Values) -> tuple[Any, ...]:
    return tuple(cell[name] for name in ("corpus", "student", "split", "seed"))


def _missing(cells: Sequence[Values], corpus: str, student: str) -> str:
    """The seeds without a cell; and the splits that a seed lacks where it has some."""
    splits = list(CORPORA[corpus].splits)
    of_seed = {
        seed: [s for s in splits if (corpus, student, s, seed) not in _places(cells)] for seed in SEEDS
    }
    whole = [str(seed) for seed, missing in of_seed.items() if len(missing) == len(splits)]
    parts = [f"seed{'s' if len(whole) > 1 else ''} {', '.join(whole)}"] if whole else []
    for seed, missing in of_seed.items():
        if missing and len(missing) < len(splits):
            parts.append(f"{', '.join(missing)} of seed {seed}")
    return " and ".join(parts)


def _places(cells: Sequence[Values]) -> set[tuple[Any, ...]]:
    return {_place(cell) for cell in cells}


def _without_form(cells: Sequence[Values]) -> list[str]:
    """The forms that a student could not have, with the reason."""
    reasons = {(form, cell["student"], why) for cell in cells for form, why in cell["lacking"].items()}
    return [f"{form} of {student} ({why.rstrip('.')})" for form, student, why in sorted(reasons)]
