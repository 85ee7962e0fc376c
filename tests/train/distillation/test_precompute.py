"""`python -m train teach`: the student's own views, and a store that survives a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from runtime.errors import TinysceneError
from tests.conftest import ROOT
from tests.train.distillation.student import RECIPE, RecordingTeacher, make_data, make_student
from train.augmentation.config import Augmentation
from train.augmentation.scene import Scene
from train.data import Synthetic
from train.distillation import precompute
from train.distillation.logit_store import UNAUGMENTED, Store
from train.distillation.precompute import ScoringPlan
from train.distillation.teachers import find_teacher


def _precompute(output, environment=None):
    command = [
        sys.executable, "-m", "train", "teach", *RECIPE, "--data.batch_size=1", "-o", str(output),
        "--views=2", "--teacher=tests.train.distillation.teacher:loudness",
    ]  # fmt: skip
    variables = {**os.environ, **(environment or {})}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)


def test_two_processes_one_of_them_killed_equal_one(tmp_path):
    whole, shared = tmp_path / "whole.h5", tmp_path / "shared.h5"
    assert _precompute(whole).returncode == 0
    two = {"WORLD_SIZE": "2", "RANK": "1"}
    killed = _precompute(shared, environment={**two, "TEACHER_DIES_AT": "20"})
    assert killed.returncode == -signal.SIGKILL and not shared.exists()
    again = _precompute(shared, environment=two)
    assert again.returncode == 0, again.stderr
    first = _precompute(shared, environment={**two, "RANK": "0"})
    assert first.returncode == 0, first.stderr
    one, other = Store(whole), Store(shared)
    assert one.header == other.header and one.clip_ids == other.clip_ids
    for column, same in zip(one.rows, other.rows, strict=True):
        assert np.array_equal(column, same)
    assert not list(tmp_path.glob(".*parts"))
    # its labels stand in another order than the corpus's, and it hears 16 kHz
    assert one.header.labels == tuple(reversed(Synthetic().labels))
    assert len(one.clip_ids) == 50 and not one.header.mixed


def test_top_k_of_long_windows_without_augmentation(tiny_run, tmp_path):
    output = tmp_path / "rest.h5"
    ten = ["--data.corpus.seconds=3", "--window=3", "--top-k=2"]
    assert (
        precompute.main(
            [*RECIPE, *ten, "--teacher", "tests.train.distillation.teacher:loudness", "-o", str(output)]
        )
        == 0
    )
    found = Store(output)
    assert found.rows.logits.shape == (50, 2) and (found.rows.view == UNAUGMENTED).all()
    places = found.find(["train-3", "train-3", "train-7"])
    logits = found.lookup(places, np.array([0, 64_000, 0]), UNAUGMENTED, 32_000)
    assert torch.equal(logits[0], logits[1]) and not torch.equal(logits[0], logits[2])
    assert logits.shape == (3, 10) and len(logits[0].unique()) == 3


@pytest.mark.parametrize(
    ("augmentation", "mixed"),
    [
        (Augmentation(scene=Scene(), mixup_alpha=None), True),
        (Augmentation(scene=Scene(mix_p=0.0), mixup_alpha=0.3), False),
        (Augmentation(mixup_alpha=0.3), False),
    ],
)
def test_a_callable_saw_mixtures_of_waveforms_alone(augmentation, mixed):
    data = make_data()
    student = make_student(data, augmentation=augmentation).eval()
    teacher = find_teacher("tests.train.distillation.teacher:loudness")
    assert ScoringPlan(student, data, [teacher], views=1, splits=["train"]).header().mixed is mixed


def test_logits_that_are_not_finite_are_not_stored():
    data = make_data()
    teacher = RecordingTeacher(data.labels)
    teacher.logits = lambda batch: torch.full((len(batch.waveform), len(data.labels)), float("nan"))
    work = ScoringPlan(make_student(data).eval(), data, [teacher], splits=["train"])
    with pytest.raises(TinysceneError, match="not finite for train-0"):
        work.score(work.jobs[0])
