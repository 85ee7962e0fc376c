"""Whether a student imitates its teacher on sounds that no training had.

    python -m benchmarks.box_model.teacher_agreement STUDENT.pt --teacher TEACHER.pt

The sounds are 400 synthetic textures (`train.data.datasets.textures`) with numbers that no recipe uses. It
prints for how many both have the same label, and how many each of them gives a probability above 0.5.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.verification.window_scores import float_scores_of_parts
from runtime.audio.samples import as_float
from runtime.entry_point import EXIT_OK, run
from runtime.errors import ConfigError
from train.checkpoints import model_pt
from train.checkpoints.model_pt import Checkpoint
from train.data.datasets.textures import SECONDS, synthetic_texture

_NUMBERS = range(100_000, 100_400)
_FIRST_S = 1  # where the windows begin
_SURE = 0.5


def main(arguments: list[str]) -> int:
    """Measure and print; returns an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.box_model.teacher_agreement", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("student", type=Path, help="model.pt")
    parser.add_argument("--teacher", type=Path, required=True, help="model.pt")
    options = parser.parse_args(arguments)
    student, teacher = model_pt.load(options.student), model_pt.load(options.teacher)
    if student.labels != teacher.labels:
        raise ConfigError("Student and teacher have other labels: name two models of the same classes.")
    if max(student.clip_s, teacher.clip_s) > SECONDS - _FIRST_S:
        raise ConfigError(f"Name models of windows of {SECONDS - _FIRST_S} s at most: textures are short.")
    of_student, of_teacher = _scores(student), _scores(teacher)
    same = (of_student.argmax(axis=1) == of_teacher.argmax(axis=1)).mean()
    print(f"textures: {len(_NUMBERS)}, the same label: {same:.1%}")
    for name, found in (("student", of_student), ("teacher", of_teacher)):
        print(f"{name} surer than {_SURE}: {(found.max(axis=1) > _SURE).mean():.1%}")
    return EXIT_OK


def _scores(model: Checkpoint) -> npt.NDArray[np.float32]:
    """Probabilities [textures, classes] of a window of every texture."""
    rate = model.frontend.sample_rate
    first, last = _FIRST_S * rate, _FIRST_S * rate + round(model.clip_s * rate)
    windows = (synthetic_texture(number, rate)[first:last] for number in _NUMBERS)
    return float_scores_of_parts(model, (as_float(window)[None] for window in windows))


if __name__ == "__main__":
    run(main)
