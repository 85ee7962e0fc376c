"""What teachers receive of a view: the scene unless told otherwise, mixed as often as the labels."""

from __future__ import annotations

import pytest
import torch

from tests.train.distillation.student import make_data, make_student
from train.augmentation.capture import Capture
from train.augmentation.config import Augmentation
from train.augmentation.scene import Scene
from train.data.windows import BatchIndices
from train.distillation.teachers import teacher_input

OFF = {"gain_db": None, "freq_mixstyle_p": None, "mixup_alpha": None}
LOUD = Capture(response_p=0.0, band_p=0.0, noise_p=0.0, gain_p=1.0, gain_db=(12.0, 12.0))


@pytest.fixture
def shown():
    data = make_data()
    data.setup("fit")
    student, dataset = make_student(data), data.datasets["train"]
    student.augmentation = Augmentation(scene=Scene(mix_p=1.0), capture=LOUD, **OFF)
    batch = dataset[BatchIndices(0, [0, 1, 2, 3])]
    return student, batch, student.view(batch, dataset)


def test_a_teacher_receives_the_scene_before_its_capture(shown):
    student, _, view = shown
    received = teacher_input(view, student.spec)
    assert received.log_mel is None
    torch.testing.assert_close(received.waveform.abs().amax(dim=1), torch.full((4,), 0.5))
    assert not torch.equal(received.waveform, view.waveform)


def test_a_teacher_can_receive_the_capture(shown):
    student, _, view = shown
    received = teacher_input(view, student.spec, "capture")
    assert torch.equal(received.waveform, view.waveform) and torch.equal(received.log_mel, view.log_mel)


def test_without_the_two_halves_there_is_one_input():
    data = make_data()
    data.setup("fit")
    student, dataset = make_student(data), data.datasets["train"]
    student.augmentation = Augmentation(**OFF)
    view = student.view(dataset[BatchIndices(0, [0, 1])], dataset)
    assert torch.equal(teacher_input(view, student.spec).log_mel, view.log_mel)


def test_labels_of_a_scene_are_mixed_and_its_log_mels_are_not(shown):
    _, batch, view = shown
    assert view.mixup is None
    mixed = view.mixed(batch.target)
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(4))
    changed = view.mixing.partner != torch.arange(4)
    assert (view.mixing.weight[changed] < 1).all()
