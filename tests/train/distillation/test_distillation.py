"""Training with teachers: the same views for both, with and without labels."""

from __future__ import annotations

import json

import pytest
import soundfile
import torch

from runtime.errors import ConfigError, TinysceneError
from tests.conftest import ROOT
from tests.train.conftest import TINY
from tests.train.distillation.student import (
    RECIPE,
    RecordingStudent,
    RecordingTeacher,
    fit,
    make_data,
    make_student,
    write_store,
)
from tests.train.teachers.tiny import TINY as SMALLEST
from train.checkpoints import model_pt
from train.data.datasets.synthetic import SCENES, render
from train.data.windows import BatchIndices
from train.distillation import logit_store
from train.distillation.config import Distillation
from train.distillation.features import HEADS
from train.distillation.logit_store import Rows
from train.distillation.precompute import ScoringPlan
from train.distillation.teachers import find_teacher
from train.networks import NETWORKS, build


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A store of two views, and the teacher that made it."""
    data = make_data()
    teacher = RecordingTeacher(data.labels)
    work = ScoringPlan(make_student(data).eval(), data, [teacher], views=2, splits=["train"])
    rows = Rows.concatenate([work.score(job) for job in work.jobs])
    path = tmp_path_factory.mktemp("store") / "logits.h5"
    logit_store.write(path, work.header(), work.clip_ids, rows)
    return path, teacher


def test_student_and_teacher_see_the_same_bits(taught):
    path, teacher = taught
    data = make_data()
    student = make_student(data, RecordingStudent, distillation=Distillation(stores=(str(path),)))
    fit(student, data, epochs=3)
    assert len(teacher.seen) == 16 and len(student.seen) == 24
    assert not torch.equal(student.seen[0], student.seen[8])  # epochs differ
    shown_thrice = teacher.seen + teacher.seen[:8]  # the third epoch is the first one again
    for shown, seen in zip(shown_thrice, student.seen, strict=True):
        assert torch.equal(shown, seen)


def test_a_store_teaches_what_its_teacher_would(taught, tiny_run, tmp_path):
    data = make_data()
    teacher = tiny_run / "model.pt"
    work = ScoringPlan(
        make_student(data).eval(), data, [find_teacher(str(teacher))], views=1, splits=["train"]
    )
    path = tmp_path / "logits.h5"
    rows = Rows.concatenate([work.score(job) for job in work.jobs])
    logit_store.write(path, work.header(), work.clip_ids, rows)
    weights = []
    for source in (Distillation(stores=(str(path),)), Distillation(teachers=(str(teacher),))):
        fresh = make_data()
        student = make_student(fresh, distillation=source)
        fit(student, fresh, epochs=1)
        weights.append(torch.cat([p.flatten() for p in student.student.parameters()]))
    torch.testing.assert_close(*weights, rtol=0, atol=2e-3)  # but for float16 in the store
    plain = make_student(make_data())
    fit(plain, make_data(), epochs=1)
    assert (torch.cat([p.flatten() for p in plain.student.parameters()]) - weights[0]).abs().max() > 0.01


def test_features_can_be_matched_with_a_teacher_that_shows_them(tiny_run):
    weights = []
    for share in (0.0, 5.0):
        data = make_data()
        source = Distillation(teachers=(str(tiny_run / "model.pt"),), similarity_weight=share)
        student = make_student(data, distillation=source)
        fit(student, data, epochs=1)
        weights.append(torch.cat([p.flatten() for p in student.student.parameters()]))
    assert not torch.equal(*weights)
    with pytest.raises(ConfigError, match=r"similarity_weight"):
        Distillation(stores=("a.h5",), similarity_weight=1.0)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_network_exposes_the_input_of_its_head(name):
    with torch.device("meta"):
        network = build(name, SMALLEST.get(name, {}))
    assert sum(part in HEADS for part, _ in network.named_children()) == 1


def test_features_of_tokens_can_be_matched_with_those_of_a_hidden_layer(tmp_path):
    data = make_data()
    teacher = make_student(data, student="ced", arguments=SMALLEST["ced"], frontend="ced_mel")
    model_pt.save(teacher.to_checkpoint(), tmp_path / "ced.pt")
    source = Distillation(teachers=(str(tmp_path / "ced.pt"),), similarity_weight=1.0)
    student = make_student(data, student="cnn3", arguments={}, frontend="cnn3_mel", distillation=source)
    fit(student, data, epochs=1)
    assert float(student.trainer.callback_metrics["train/loss_features"]) > 0


def test_no_label_is_needed_anywhere(taught):
    path, _ = taught
    weights = []
    for hidden in (1.0, 0.0):
        data = make_data(labelled=hidden)
        student = make_student(data, distillation=Distillation(stores=(str(path),), label_weight=0.0))
        fit(student, data, epochs=1)
        assert data.datasets["train"].labelled.sum() == 40 * hidden
        weights.append(torch.cat([p.flatten() for p in student.student.parameters()]))
    assert torch.equal(*weights)


def test_the_best_epoch_and_the_report_know_the_teachers(tiny_run, run_room, tmp_path):
    logits = tmp_path / "logits.h5"
    teacher = ["--teacher", tiny_run / "model.pt", "--splits", "train", "val", "test", "-o", logits]
    done = run_room("train", "teach", *RECIPE, *teacher, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    taught = [*TINY, f"--model.distillation.stores=[{logits}]", "--model.distillation.label_weight=0"]
    for verb in ("fit", "test"):
        done = run_room("train", verb, *taught, f"--trainer.default_root_dir={tmp_path / 'run'}", cwd=ROOT)
        assert done.returncode == 0, done.stderr
    assert "teachers" in done.stdout
    report = json.loads((tmp_path / "run" / "test_report.json").read_text())
    assert 0 <= report["teacher_agreement"] <= 1 and report["clips"] == 20
    metrics = next((tmp_path / "run" / "csv").rglob("metrics.csv")).read_text()
    for name in ("loss_labels", "loss_teachers", "teacher_accuracy", "agreement"):
        assert f"train/{name}" in metrics
    assert "val/agreement" in metrics
    provenance = model_pt.load(tmp_path / "run" / "model.pt").provenance
    assert provenance["teachers"][0]["network"] == "cp_mobile" and provenance["teachers"][0]["sha256"]


def test_a_folder_without_labels_teaches(tiny_run, run_room, tmp_path):
    for index, scene in enumerate((*SCENES, *SCENES)):
        wave = render(scene, (7, index), 32_000, 1.0)
        soundfile.write(tmp_path / f"{index}.wav", wave, 32_000)
    labels = json.dumps(list(SCENES))
    recipe = [
        *(word for word in TINY if "data.corpus" not in word),
        "--data.corpus=train.data.Unlabelled", f"--data.corpus.root={tmp_path}",
        "--data.corpus.no_groups=true", f"--data.corpus.labels={labels}", "--data.corpus.val_share=0.2",
    ]  # fmt: skip
    logits = tmp_path / "logits.h5"
    done = run_room("train", "teach", *recipe, "--teacher", tiny_run / "model.pt", "-o", logits, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    taught = [f"--model.distillation.stores=[{logits}]", "--model.distillation.label_weight=0"]
    root = f"--trainer.default_root_dir={tmp_path / 'run'}"
    done = run_room("train", "fit", *recipe, *taught, root, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    model = model_pt.load(tmp_path / "run" / "model.pt")
    assert "best of val/agreement" in model.provenance["checkpoint"]
    assert len(model.calibration) == 16 and (model.calibration_targets == -1).all()
    done = run_room("train", "validate", *recipe, *taught, root, cwd=ROOT)
    assert "teachers" in done.stdout, done.stderr
    done = run_room("train", "validate", *recipe, root, cwd=ROOT)
    assert done.returncode == 2 and "val split" in done.stderr


def test_mixup_acts_on_the_probabilities_of_teachers_without_it():
    data = make_data()
    data.setup("fit")
    student = make_student(data)
    dataset = data.datasets["train"]
    batch = dataset[BatchIndices(0, list(range(6)))]
    view = student.view(batch, dataset)
    taught = torch.eye(10)[batch.target.argmax(1)]
    weight = view.mixing.weight[:, None]
    expected = weight * taught + (1 - weight) * taught[view.mixing.partner]
    assert torch.equal(view.mixed(taught), expected)
    assert torch.equal(view.mixed(taught), view.mixed(batch.target))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("alarm", "moon")}, "moon is not in the data"),
        ({"sample_rate": 16_000}, "16000 Hz .* 32000 Hz"),
        ({"ids": [f"train-{i}" for i in range(39)]}, "1 of 40 training clips.*train-39"),
        ({"views": 2, "view": {"seed": 4}}, "made with seed = 4, but the recipe has 3"),
        ({"task": "multi_label"}, "single_label and a teacher is multi_label"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_epoch(tmp_path, changes, message):
    path = write_store(tmp_path / "logits.h5", **changes)
    data = make_data()
    student = make_student(data, RecordingStudent, distillation=Distillation(stores=(str(path),)))
    with pytest.raises(TinysceneError, match=message):
        fit(student, data, epochs=1)
    assert not student.seen


@pytest.mark.parametrize(
    "options",
    [{}, {"stores": ("a",), "teachers": ("b",)}, {"stores": ("a",), "weights": (1, 2)},
     {"stores": ("a",), "label_weight": 2}, {"stores": ("a",), "temperature": 0}],
)  # fmt: skip
def test_a_recipe_that_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError, match=r"model\.distillation"):
        Distillation(**options)
