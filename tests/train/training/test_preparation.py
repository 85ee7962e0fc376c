"""Worker processes prepare the batches that the training would have prepared itself."""

from __future__ import annotations

import pickle

import pytest
import torch

from tests.train.distillation.student import RecordingStudent, fit, make_data, make_student, write_store
from train.augmentation.capture import Capture
from train.augmentation.config import Augmentation
from train.augmentation.scene import Scene
from train.data.windows import BatchIndices
from train.distillation.config import Distillation
from train.training.preparation import Preparation, PreparedBatch, threads_beside

DEGRADED = Augmentation(
    scene=Scene(), capture=Capture(response_p=0.0), gain_db=None, freq_mixstyle_p=None, mixup_alpha=None
)


def distillation(kind, tiny_run, tmp_path):
    if kind == "stores":
        return Distillation(stores=(str(write_store(tmp_path / "logits.h5")),))
    if kind == "none":
        return None
    return Distillation(teachers=(str(tiny_run / "model.pt"),), similarity_weight=float(kind == "features"))


def trained(workers, options):
    data = make_data(num_workers=workers, persistent_workers=workers > 1)
    student = make_student(data, RecordingStudent, **options)
    fit(student, data, epochs=2)
    return student.seen, torch.cat([p.flatten() for p in student.student.parameters()])


@pytest.mark.parametrize("kind", ["none", "stores", "teachers", "features"])
def test_workers_change_no_bit_of_a_training(kind, tiny_run, tmp_path):
    options = {"distillation": distillation(kind, tiny_run, tmp_path)}
    if kind != "stores":  # whose views are not of a scene
        options["augmentation"] = DEGRADED
    seen, weights = trained(0, options)
    for workers in (1, 2):
        seen_beside, weights_beside = trained(workers, options)
        assert all(torch.equal(a, b) for a, b in zip(seen, seen_beside, strict=True))
        assert torch.equal(weights, weights_beside)


def test_workers_prepare_what_the_network_needs_and_give_back_their_cores():
    given = []

    class Student(RecordingStudent):
        def training_step(self, batch, batch_idx):
            given.append((type(batch), torch.get_num_threads()))
            return super().training_step(batch, batch_idx)

    before = torch.get_num_threads()
    data = make_data(num_workers=1)
    fit(make_student(data, Student), data, epochs=1)
    assert {kind for kind, _ in given} == {PreparedBatch}
    assert {threads for _, threads in given} == {threads_beside(1)}
    assert torch.get_num_threads() == before


def test_a_preparation_reaches_workers_that_are_not_forked(tiny_run):
    data = make_data()
    student = make_student(
        data, augmentation=DEGRADED, distillation=Distillation((), (f"{tiny_run}/model.pt",))
    )
    fit(student, data, epochs=1)
    batch = data.datasets["train"][BatchIndices(5, [3, 1, 4, 15, 9, 2], 6)]
    first = student._prepare(batch)
    again = pickle.loads(pickle.dumps(student._prepare))
    assert isinstance(again, Preparation) and again._opened is None
    second = again(batch)
    assert torch.equal(first.log_mel, second.log_mel)
    assert torch.equal(first.expected.probabilities, second.expected.probabilities)
