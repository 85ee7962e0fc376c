"""What is measured: students x corpora x splits x seeds. Each of these cells is a training of its own.

A cell's recipe is the one that the project has for the corpus, with another network and the front end that
this network was published with. Nothing else differs between students: no value was chosen for one of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import yaml

import train
from train.checkpoints.detect_student import front_end_of
from train.students import STUDENTS as ALL_STUDENTS

RECIPES = Path(str(train.__file__)).parent / "recipes"
SEEDS = (0, 1, 2)
FOLDS = (1, 2, 3, 4)  # of ESC-10; nothing here reads fold 5, which is for final results


@dataclass(frozen=True)
class Student:
    """A network that is trained.

    Attributes:
        network: its name in `train.networks`.
        arguments: where they are not the network's defaults.
    """

    network: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


def _recipe(name: str) -> dict[str, Any]:
    recipe: dict[str, Any] = yaml.safe_load((RECIPES / name).read_text(encoding="utf-8"))
    return recipe


STUDENTS: Mapping[str, Student] = {
    **{name: Student(name) for name in ALL_STUDENTS},
    "cp_mobile_narrow": Student("cp_mobile", _recipe("synthetic_demo.yaml")["model"]["arguments"]),
    "cp_resnet": Student("cp_resnet"),  # a teacher that is within the limits
}


@dataclass(frozen=True)
class Corpus:
    """A corpus and the recipe that trains on it.

    Attributes:
        title: of tables.
        recipe: file name.
        splits: name of a split to the arguments of the corpus that make it.
        variables: of the environment, which name the folders that it needs.
        root: which of them is the argument ``root`` of the corpus; None where the corpus finds it.
    """

    title: str
    recipe: str
    splits: Mapping[str, Mapping[str, Any]]
    variables: tuple[str, ...] = ()
    root: str | None = None

    def unset_variables(self) -> list[str]:
        """The variables that the environment lacks."""
        return [name for name in self.variables if not os.environ.get(name)]


def other_folds(fold: int) -> list[int]:
    """The folds to train on where this one is tested."""
    return [other for other in FOLDS if other != fold]


def _without(fold: int) -> dict[str, Any]:
    return {"train_folds": other_folds(fold), "val_folds": [], "test_folds": [fold]}


CORPORA: Mapping[str, Corpus] = {
    "synthetic": Corpus("synthetic scenes", "synthetic_demo.yaml", {"unseen devices": {}}),
    "fsdd": Corpus(
        "fsdd", "fsdd_cp_mobile.yaml", {"unseen speaker": {}}, ("FSDD_DIR", "MIC_IR_DIR"), root="FSDD_DIR"
    ),
    "esc10": Corpus(
        "ESC-10", "esc10_cp_mobile.yaml", {f"fold {fold}": _without(fold) for fold in FOLDS}, ("ESC10_DIR",)
    ),
}


@dataclass(frozen=True)
class Schedule:
    """How long each cell is trained, the same for all students.

    Attributes:
        steps: batches of the training, as large as the recipe's.
        qat_epochs: epochs of quantization-aware training, which ends after ``steps`` steps at the latest.
    """

    steps: int = 1000
    qat_epochs: int = 2


@dataclass(frozen=True)
class Cell:
    """One training and what it measures."""

    corpus: str
    student: str
    split: str
    seed: int

    def folder(self, runs: Path, schedule: Schedule) -> Path:
        """Where it is trained."""
        name = f"{self.split.replace(' ', '_')}-seed{self.seed}-{schedule.steps}-{schedule.qat_epochs}"
        return runs / self.corpus / self.student / name

    def recipe(self, schedule: Schedule, folder: Path) -> dict[str, Any]:
        """The corpus's recipe with this student, split, seed and number of steps."""
        corpus, student = CORPORA[self.corpus], STUDENTS[self.student]
        recipe = _recipe(corpus.recipe)
        frontend = front_end_of(student.network, student.arguments)
        network = {
            "student": student.network, "arguments": dict(student.arguments), "frontend": frontend,
        }  # fmt: skip
        recipe["seed_everything"] = self.seed
        recipe["model"] |= network
        recipe["trainer"] |= {
            "max_epochs": -1, "max_steps": schedule.steps, "default_root_dir": str(folder / "fit"),
        }  # fmt: skip
        arguments = recipe["data"]["corpus"]["init_args"]
        arguments |= corpus.splits[self.split]
        if corpus.root:
            arguments["root"] = os.environ[corpus.root]
        return recipe

    def __str__(self) -> str:
        return f"{self.corpus}, {self.student}, {self.split}, seed {self.seed}"


def cells(corpora: Sequence[str], students: Sequence[str], seeds: Sequence[int]) -> Iterator[Cell]:
    """All cells, seed by seed: what is interrupted has one seed of as much as possible."""
    for seed, corpus in product(seeds, corpora):
        for split, student in product(CORPORA[corpus].splits, students):
            yield Cell(corpus, student, split, seed)
