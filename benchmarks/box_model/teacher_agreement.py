"""Whether a student imitates its teacher on sounds that no training had.

    python -m benchmarks.box_model.teacher_agreement STUDENT.pt --teacher TEACHER.pt

The sounds are 400 synthetic textures (`train.data.datasets.textures`) with numbers that no recipe uses. It
prints for how many both have the same label, and how many each of them gives a probability above 0.5.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from runtime.entry_point import EXIT_OK, run
from runtime.errors import ConfigError
from train.checkpoints import model_pt
from train.checkpoints.model_pt import Checkpoint
from train.data.datasets.textures import synthetic_texture
from train.log_mel import LogMel

_NUMBERS = range(100_000, 100_400)
_BATCH = 50
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
    of_student, of_teacher = _probabilities(student), _probabilities(teacher)
    same = (of_student.argmax(dim=1) == of_teacher.argmax(dim=1)).float().mean()
    print(f"textures: {len(_NUMBERS)}, the same label: {same:.1%}")
    for name, found in (("student", of_student), ("teacher", of_teacher)):
        print(f"{name} surer than {_SURE}: {(found.amax(dim=1) > _SURE).float().mean():.1%}")
    return EXIT_OK


@torch.inference_mode()
def _probabilities(model: Checkpoint) -> Tensor:
    """Of the second second of every texture, [textures, classes]."""
    network, log_mel, rate = model.build().eval(), LogMel(model.frontend), model.frontend.sample_rate
    found = []
    for first in range(0, len(_NUMBERS), _BATCH):
        sounds = [synthetic_texture(number, rate) for number in _NUMBERS[first : first + _BATCH]]
        window = np.stack(sounds)[:, rate : rate + round(model.clip_s * rate)].astype(np.float32) / 2**15
        found.append(network(log_mel(torch.from_numpy(window))).softmax(dim=1))
    return torch.cat(found)


if __name__ == "__main__":
    run(main)
