"""The trainings of the packaged model: the recipes, with the folds and folders of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.accuracy.plan import FOLDS, RECIPES, other_folds
from benchmarks.esc10 import run_train
from train.checkpoints.resume import resume_options

TEACHER = RECIPES / "esc10_teacher_mn04.yaml"
# the second one begins with the weights of the first
STUDENT = (RECIPES / "esc10_cp_mobile_scene.yaml", RECIPES / "esc10_cp_mobile_capture.yaml")


@dataclass(frozen=True)
class Trainings:
    """Where the trainings find their sounds, and where they write.

    Attributes:
        runs: folder of the trainings.
        teacher: mn04's published state_dict.
        teacher_labels: class_labels_indices.csv, beside it where it was published.
        negatives: folders of sounds of none of the classes.
        steps: of each of the student's two trainings; None takes the recipes'.
    """

    runs: Path
    teacher: Path
    teacher_labels: Path
    negatives: Sequence[Path]
    steps: int | None = None

    @property
    def student_steps(self) -> int:
        """Steps of a student's trainings, all together."""
        return sum(map(self.steps_of, STUDENT))

    def steps_of(self, recipe: Path) -> int:
        """Steps of one training of a student."""
        return self.steps or int(_read(recipe)["trainer"]["max_steps"])

    def fold(self, fold: int) -> Path:
        """model.pt of a student that was trained on the other folds."""
        return self._student(f"fold{fold}", other_folds(fold), [fold])

    def all_folds(self) -> Path:
        """model.pt of the student that is shipped."""
        return self._student("ship", list(FOLDS), [])

    def first(self, fold: int, *, taught: bool = True) -> Path:
        """model.pt of the first of a student's trainings, on the folds other than ``fold``.

        Args:
            fold: to be tested on.
            taught: by the teacher; else by labels, in mixtures by each sound's share of the amplitude.
        """
        return self._first(f"fold{fold}", other_folds(fold), [fold], taught)

    def single(self, name: str, recipe: Path, fold: int, options: Sequence[str]) -> Path:
        """model.pt of one training by a recipe with other options, on the folds other than ``fold``."""
        train = other_folds(fold)
        taught = self._taught(f"fold{fold}", train, [fold])
        return self._fit(self.runs / name, recipe, train, [fold], taught, *options)

    def _teacher(self, name: str, train: list[int], test: list[int]) -> Path:
        return self._fit(
            self.runs / name / "teacher", TEACHER, train, test,
            f"--init={self._imported()}", "--allow-over-budget",
        )  # fmt: skip

    def _student(self, name: str, train: list[int], test: list[int]) -> Path:
        first = self._first(name, train, test)
        second, options = self.runs / name / "student_capture", self._student_options(name, train, test)
        return self._fit(second, STUDENT[1], train, test, *options, f"--init={first}")

    def _first(self, name: str, train: list[int], test: list[int], taught: bool = True) -> Path:
        run = self.runs / name / ("student" if taught else "student_labels")
        return self._fit(run, STUDENT[0], train, test, *self._student_options(name, train, test, taught))

    def _student_options(
        self, name: str, train: list[int], test: list[int], taught: bool = True
    ) -> list[str]:
        steps = [f"--trainer.max_steps={self.steps}"] if self.steps else []
        return [self._taught(name, train, test) if taught else "--model.distillation=null", *steps]

    def _taught(self, name: str, train: list[int], test: list[int]) -> str:
        """The option that names the teacher, once it is trained."""
        return f"--model.distillation.teachers=[{self._teacher(name, train, test)}]"

    def _imported(self) -> Path:
        path = self.runs / "mn04.pt"
        if not path.is_file():
            self.runs.mkdir(parents=True, exist_ok=True)
            run_train(
                "import", str(self.teacher), "--labels", str(self.teacher_labels),
                "--licence", "MIT, EfficientAT", "-o", str(path),
            )  # fmt: skip
        return path

    def _fit(self, run: Path, recipe: Path, train: list[int], test: list[int], *options: str) -> Path:
        """Run a recipe unless it has run; one that was interrupted goes on. Returns its model.pt."""
        model = run / "model.pt"
        if not model.is_file():
            run_train(
                "fit", "--config", str(recipe),
                f"--data.corpus.corpus.train_folds={train}", f"--data.corpus.corpus.test_folds={test}",
                f"--data.corpus.folders=[{','.join(map(str, self.negatives))}]",
                f"--trainer.default_root_dir={run}", *options, *resume_options(run),
            )  # fmt: skip
        return model


def seed_of(recipe: Path) -> int:
    """The seed that a recipe states."""
    return int(_read(recipe)["seed_everything"])


def _read(recipe: Path) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(recipe.read_text())
    return values
