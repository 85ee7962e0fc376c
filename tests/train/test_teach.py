"""Teachers: the student's own views, a store that survives a kill, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import lightning
import numpy as np
import pytest
import soundfile
import torch

from runtime.errors import ConfigError, DataError, TinysceneError
from tests.conftest import ROOT
from tests.train.conftest import TINY
from train.checkpoints import model_pt
from train.data import ClipData, Synthetic
from train.data.datasets.synthetic import SCENES, render
from train.distillation import logit_store, losses, precompute
from train.distillation.config import Distillation, Lessons
from train.distillation.import_logits import main as import_logits
from train.distillation.logit_store import AT_REST, Header, Rows, Store
from train.distillation.precompute import Teaching
from train.distillation.teachers import Teacher, find_teacher
from train.training.augmentation import Augmentation
from train.training.lightning_module import Classifier

SMALL = {"base_channels": 8, "channels_multiplier": 1.0, "expansion_rate": 1.0, "n_blocks": [1]}
EVERYTHING = Augmentation(
    roll_s=0.1, noise_snr_db=(10, 30), jitter_hz=200, mask_mels=8, mask_frames=4, freq_mixstyle_p=0.5
)
RECIPE = [word for word in TINY if not word.startswith("--trainer")]


def _data(**options):
    corpus = Synthetic(train_clips=40, val_clips=10, test_clips=10, seconds=1.5)
    return ClipData(corpus, **{"batch_size": 10, "seed": 3, **options})


def _student(data, kind=Classifier, **options):
    return kind(arguments=SMALL, labels=data.labels, augmentation=EVERYTHING, seed=3, **options)


def _fit(student, data, epochs):
    torch.manual_seed(0)
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, limit_val_batches=0,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(student, data)


class Spy(Teacher):
    """Keeps what it is shown."""

    task = "single_label"

    def __init__(self, labels):
        self.labels, self.seen = labels, []

    def logits(self, view, spec):
        self.seen.append(view.log_mel.clone())
        return view.log_mel.mean(dim=(1, 2, 3))[:, None] * torch.linspace(-1, 1, len(self.labels))

    def describe(self):
        return {"spy": 1}


class Watched(Classifier):
    """A student whose inputs are kept."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seen = []

    def _network(self, log_mel):
        self.seen.append(log_mel.clone())
        return super()._network(log_mel)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A store of two views, and the spy that made it."""
    data = _data()
    spy = Spy(data.labels)
    work = Teaching(_student(data).eval(), data, [spy], views=2, splits=["train"])
    rows = Rows.concatenate([work.score(job) for job in work.jobs])
    path = tmp_path_factory.mktemp("store") / "logits.h5"
    logit_store.write(path, work.header(), work.clip_ids, rows)
    return path, spy


def test_student_and_teacher_see_the_same_bits(taught):
    path, spy = taught
    data = _data()
    student = _student(data, Watched, distillation=Distillation(stores=(str(path),)))
    _fit(student, data, epochs=3)
    assert len(spy.seen) == 16 and len(student.seen) == 24
    assert not torch.equal(student.seen[0], student.seen[8])  # epochs differ
    shown_thrice = spy.seen + spy.seen[:8]  # the third epoch is the first one again
    for shown, seen in zip(shown_thrice, student.seen, strict=True):
        assert torch.equal(shown, seen)


def test_a_store_teaches_what_its_teacher_would(taught, tiny_run, tmp_path):
    data = _data()
    teacher = tiny_run / "model.pt"
    work = Teaching(_student(data).eval(), data, [find_teacher(str(teacher))], views=1, splits=["train"])
    path = tmp_path / "logits.h5"
    rows = Rows.concatenate([work.score(job) for job in work.jobs])
    logit_store.write(path, work.header(), work.clip_ids, rows)
    weights = []
    for source in (Distillation(stores=(str(path),)), Distillation(teachers=(str(teacher),))):
        fresh = _data()
        student = _student(fresh, distillation=source)
        _fit(student, fresh, epochs=1)
        weights.append(torch.cat([p.flatten() for p in student.student.parameters()]))
    torch.testing.assert_close(*weights, rtol=0, atol=2e-3)  # but for float16 in the store
    plain = _student(_data())
    _fit(plain, _data(), epochs=1)
    assert (torch.cat([p.flatten() for p in plain.student.parameters()]) - weights[0]).abs().max() > 0.01


def test_features_can_be_matched_with_a_teacher_that_shows_them(tiny_run):
    weights = []
    for share in (0.0, 5.0):
        data = _data()
        source = Distillation(teachers=(str(tiny_run / "model.pt"),), similarity_weight=share)
        student = _student(data, distillation=source)
        _fit(student, data, epochs=1)
        weights.append(torch.cat([p.flatten() for p in student.student.parameters()]))
    assert not torch.equal(*weights)
    with pytest.raises(ConfigError, match=r"only model\.pt teachers show"):
        Distillation(stores=("a.h5",), similarity_weight=1.0)


def test_no_label_is_needed_anywhere(taught):
    path, _ = taught
    told = []
    for hidden in (1.0, 0.0):
        data = _data(labelled=hidden)
        student = _student(data, distillation=Distillation(stores=(str(path),), label_weight=0.0))
        _fit(student, data, epochs=1)
        assert data.datasets["train"].labelled.sum() == 40 * hidden
        told.append(torch.cat([p.flatten() for p in student.student.parameters()]))
    assert torch.equal(*told)


def test_the_best_epoch_and_the_report_know_the_teachers(tiny_run, run_room, tmp_path):
    logits = tmp_path / "logits.h5"
    teacher = ["--teacher", tiny_run / "model.pt", "--splits", "train", "val", "test", "-o", logits]
    done = run_room("train", "teach", *RECIPE, *teacher, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    taught = [*TINY, f"--model.distillation.stores=[{logits}]", "--model.distillation.label_weight=0"]
    for verb in ("fit", "test"):
        done = run_room("train", verb, *taught, f"--trainer.default_root_dir={tmp_path / 'run'}", cwd=ROOT)
        assert done.returncode == 0, done.stderr
    assert "of windows answered as the teachers do" in done.stdout
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
    assert "of windows answered as the teachers do" in done.stdout, done.stderr
    done = run_room("train", "validate", *recipe, root, cwd=ROOT)
    assert done.returncode == 2 and "Nobody has labelled" in done.stderr


def test_mixup_acts_on_the_answers_of_those_who_did_not_see_it():
    data = _data()
    data.setup("fit")
    student = _student(data)
    dataset = data.datasets["train"]
    batch = dataset[list(range(6))]
    view = student.view(batch, dataset, 0)
    taught = torch.eye(10)[batch.target.argmax(1)]
    weight = view.mixing.weight[:, None]
    expected = weight * taught + (1 - weight) * taught[view.mixing.partner]
    assert torch.equal(view.mixed(taught), expected)
    assert torch.equal(view.mixed(taught), view.mixed(batch.target))


def _teach(output, environment=None):
    command = [
        sys.executable, "-m", "train", "teach", *RECIPE, "--data.batch_size=1", "-o", str(output),
        "--views=2", "--teacher=tests.train.teacher:loudness",
    ]  # fmt: skip
    variables = {**os.environ, **(environment or {})}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)


def test_two_processes_one_of_them_killed_equal_one(tmp_path):
    whole, shared = tmp_path / "whole.h5", tmp_path / "shared.h5"
    assert _teach(whole).returncode == 0
    two = {"WORLD_SIZE": "2", "RANK": "1"}
    killed = _teach(shared, environment={**two, "TEACHER_DIES_AT": "20"})
    assert killed.returncode == -signal.SIGKILL and not shared.exists()
    again = _teach(shared, environment=two)
    assert again.returncode == 0, again.stderr
    first = _teach(shared, environment={**two, "RANK": "0"})
    assert first.returncode == 0, first.stderr
    one, other = Store(whole), Store(shared)
    assert one.header == other.header and one.clip_ids == other.clip_ids
    for column, same in zip(one.rows, other.rows, strict=True):
        assert np.array_equal(column, same)
    assert not list(tmp_path.glob(".*parts"))
    # its labels stand in another order than the corpus's, and it hears 16 kHz
    assert one.header.labels == tuple(reversed(Synthetic().labels))
    assert len(one.clip_ids) == 50 and not one.header.mixed


def test_top_k_and_many_seconds_at_rest(tiny_run, tmp_path):
    output = tmp_path / "rest.h5"
    ten = ["--data.corpus.seconds=3", "--window=3", "--top-k=2"]
    assert (
        precompute.main([*RECIPE, *ten, "--teacher", "tests.train.teacher:loudness", "-o", str(output)]) == 0
    )
    found = Store(output)
    assert found.rows.logits.shape == (50, 2) and (found.rows.view == AT_REST).all()
    places = found.find(["train-3", "train-3", "train-7"])
    answers = found.lookup(places, np.array([0, 64_000, 0]), AT_REST, 32_000)
    assert torch.equal(answers[0], answers[1]) and not torch.equal(answers[0], answers[2])
    assert answers.shape == (3, 10) and len(answers[0].unique()) == 3


@pytest.fixture
def header():
    return Header(labels=tuple(Synthetic().labels), task="single_label", sample_rate=32_000, window=32_000)


@pytest.fixture
def answered(header):
    """Writes a store at rest of the training clips with some changes."""

    def write(path, ids=None, **changes):
        ids = ids or [f"train-{i}" for i in range(40)]
        clips = np.arange(len(ids))
        header_ = Header(**{**vars(header), **changes})
        logits = torch.randn(len(ids), len(header_.labels))
        logit_store.write(
            path, header_, ids, Rows.of(clips, clips * 0, AT_REST, -1, logits, None, "single_label")
        )
        return path

    return write


def test_answers_that_are_no_numbers_are_not_stored():
    data = _data()
    spy = Spy(data.labels)
    spy.logits = lambda view, spec: torch.full((len(view.log_mel), len(data.labels)), float("nan"))
    work = Teaching(_student(data).eval(), data, [spy], splits=["train"])
    with pytest.raises(TinysceneError, match="not finite to train-0"):
        work.score(work.jobs[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("alarm", "moon")}, "other labels .*moon is not in the data"),
        ({"sample_rate": 16_000}, "made at 16000 Hz and the student hears 32000"),
        ({"ids": [f"train-{i}" for i in range(39)]}, "no answer for 1 of 40 training clips.*train-39"),
        ({"views": 2, "view": {"seed": 4}}, "made with seed = 4, but the recipe has 3"),
        ({"task": "multi_label"}, "single_label and a teacher answers multi_label"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_epoch(answered, tmp_path, changes, message):
    path = answered(tmp_path / "logits.h5", **changes)
    data = _data()
    student = _student(data, Watched, distillation=Distillation(stores=(str(path),)))
    with pytest.raises(TinysceneError, match=message):
        _fit(student, data, epochs=1)
    assert not student.seen


def test_a_store_that_is_cut_short_or_foreign_is_refused(answered, tmp_path):
    path = answered(tmp_path / "logits.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged or cut short"):
        Store(path)
    with pytest.raises(DataError, match="There is no file"):
        Store(tmp_path / "none.h5")


def test_stores_are_averaged_by_weight_and_by_label(answered, tmp_path, header):
    one = answered(tmp_path / "one.h5")
    other = answered(tmp_path / "other.h5", labels=tuple(reversed(header.labels)))
    data = _data(jitter=False)
    data.setup("fit")
    dataset, student = data.datasets["train"], _student(data)
    batch = dataset.at_rest([0, 5])
    lessons = Lessons(
        Distillation(stores=(str(one), str(other)), weights=(3, 1)), labels=data.labels, task="single_label",
        spec=student.spec, train=dataset, window=32_000, view={}, device=torch.device("cpu"),
    )  # fmt: skip
    first, second = (Store(path).rows.logits.astype(np.float32)[batch.clip] for path in (one, other))
    expected = 0.75 * first + 0.25 * second[:, ::-1]
    np.testing.assert_allclose(lessons.logits(batch, student.view(batch, dataset, 0)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "checkpoint_path", "message"),
    [
        ("nobody:home", None, "There is no teacher"),
        ("tests.train.teacher:Mute", None, "no attribute 'labels'"),
        ("missing/model.pt", None, "There is no file"),
        ("model.pt", "weights.pt", "for callables alone"),
    ],
)
def test_a_teacher_that_cannot_be_asked_is_named(name, checkpoint_path, message):
    with pytest.raises(TinysceneError, match=message):
        find_teacher(name, checkpoint_path)


def test_a_callable_is_made_from_its_checkpoint_and_held_to_its_shape(tmp_path):
    data = _data()
    data.setup("fit")
    student, dataset = _student(data), data.datasets["train"]
    view = student.view(dataset[[0, 1]], dataset, 0)
    (tmp_path / "gain.txt").write_text("2.0")
    plain = find_teacher("tests.train.teacher:loudness")
    made = find_teacher("tests.train.teacher:from_checkpoint", str(tmp_path / "gain.txt"))
    assert torch.equal(made.logits(view, student.spec), 2 * plain.logits(view, student.spec))
    assert made.describe()["file"] == "gain.txt" and len(made.describe()["sha256"]) == 64
    with pytest.raises(TinysceneError, match=r"shape \[2, 3\] where"):
        find_teacher("tests.train.teacher:broken").logits(view, student.spec)


@pytest.mark.parametrize(
    "options",
    [{}, {"stores": ("a",), "teachers": ("b",)}, {"stores": ("a",), "weights": (1, 2)},
     {"stores": ("a",), "label_weight": 2}, {"stores": ("a",), "temperature": 0}],
)  # fmt: skip
def test_a_recipe_that_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError, match=r"model\.distillation"):
        Distillation(**options)


def test_an_exported_file_teaches_as_its_model_does(tmp_path, tiny_run):
    from export.pipeline import pack

    model = model_pt.load(tiny_run / "model.pt")
    pack(model, tmp_path / "model.onnx", method="none")
    data = _data()
    data.setup("fit")
    student, dataset = _student(data), data.datasets["train"]
    view = student.view(dataset[[0, 1, 2]], dataset, 0)
    answers = [
        find_teacher(str(path)).logits(view, student.spec)
        for path in (tiny_run / "model.pt", tmp_path / "model.onnx")
    ]
    torch.testing.assert_close(*answers, rtol=1e-3, atol=1e-3)


def test_published_tensors_become_a_store(tmp_path):
    logits = torch.randn(3, 2)
    torch.save(logits, tmp_path / "ensemble.pt")
    rows = ["filename\tscene_label", "audio/a.wav\tx", "audio/b.wav\ty", "audio/c.wav\tx"]
    (tmp_path / "train.csv").write_text("\n".join(rows) + "\n")
    given = ["--files", str(tmp_path / "train.csv"), "--tab", "--labels", "x,y", "-o", str(tmp_path / "l.h5")]
    assert import_logits([str(tmp_path / "ensemble.pt"), *given]) == 0
    found = Store(tmp_path / "l.h5")
    answer = found.lookup(found.find(["audio/c.wav"]), np.array([9]), AT_REST, 32_000)
    torch.testing.assert_close(answer[0], logits[2], rtol=1e-3, atol=1e-3)
    torch.save(logits[:2], tmp_path / "short.pt")
    with pytest.raises(DataError, match=r"has 2 rows and .* has 3"):
        import_logits([str(tmp_path / "short.pt"), *given])
    torch.save({"logits": logits}, tmp_path / "dict.pt")
    with pytest.raises(DataError, match="holds dict"):
        import_logits([str(tmp_path / "dict.pt"), *given])


def test_agreement_counts_equal_answers():
    assert losses.agreement(torch.eye(4), torch.eye(4)[[0, 1, 3, 2]]) == 0.5
