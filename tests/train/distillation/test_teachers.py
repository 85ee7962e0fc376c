"""The adapters: callables, model.pt and exported files as teachers."""

from __future__ import annotations

import pytest
import torch

from runtime.errors import TinysceneError
from tests.train.distillation.student import make_data, make_student
from train.checkpoints import model_pt
from train.data.windows import BatchIndices
from train.distillation.teachers import find_teacher, teacher_input


@pytest.mark.parametrize(
    ("name", "checkpoint_path", "message"),
    [
        ("nobody:home", None, "There is no teacher"),
        ("tests.train.distillation.teacher:Mute", None, "no attribute 'labels'"),
        ("missing/model.pt", None, "There is no file"),
        ("model.pt", "weights.pt", "--checkpoint"),
    ],
)
def test_a_teacher_that_cannot_be_run_is_named(name, checkpoint_path, message):
    with pytest.raises(TinysceneError, match=message):
        find_teacher(name, checkpoint_path)


def test_a_callable_is_made_from_its_checkpoint_and_held_to_its_shape(tmp_path):
    data = make_data()
    data.setup("fit")
    student, dataset = make_student(data), data.datasets["train"]
    view = student.view(dataset[BatchIndices(0, [0, 1])], dataset)
    (tmp_path / "gain.txt").write_text("2.0")
    plain = find_teacher("tests.train.distillation.teacher:loudness")
    made = find_teacher("tests.train.distillation.teacher:from_checkpoint", str(tmp_path / "gain.txt"))
    assert torch.equal(
        made.logits(teacher_input(view, student.spec)), 2 * plain.logits(teacher_input(view, student.spec))
    )
    assert made.describe()["file"] == "gain.txt" and len(made.describe()["sha256"]) == 64
    with pytest.raises(TinysceneError, match=r"shape \[2, 3\] where"):
        find_teacher("tests.train.distillation.teacher:broken").logits(teacher_input(view, student.spec))


def test_an_exported_file_gives_the_logits_of_its_model(tmp_path, tiny_run):
    from export.pipeline import export_model

    model = model_pt.load(tiny_run / "model.pt")
    export_model(model, tmp_path / "model.onnx", method="none")
    data = make_data()
    data.setup("fit")
    student, dataset = make_student(data), data.datasets["train"]
    view = student.view(dataset[BatchIndices(0, [0, 1, 2])], dataset)
    logits = [
        find_teacher(str(path)).logits(teacher_input(view, student.spec))
        for path in (tiny_run / "model.pt", tmp_path / "model.onnx")
    ]
    torch.testing.assert_close(*logits, rtol=1e-3, atol=1e-3)


def test_a_callable_that_returns_probabilities_is_refused():
    data = make_data()
    data.setup("fit")
    student, dataset = make_student(data), data.datasets["train"]
    view = student.view(dataset[BatchIndices(0, [0, 1])], dataset)
    with pytest.raises(TinysceneError, match="probabilities"):
        find_teacher("tests.train.distillation.teacher:softmax").logits(teacher_input(view, student.spec))
