"""Quantization-aware training: what it learns is what is exported; resumed equals uninterrupted."""

from __future__ import annotations

import shutil
import signal

import pytest
import torch

from runtime.errors import ConfigError
from tests.conftest import ROOT
from tests.train.conftest import TINY
from tests.train.distillation.student import SMALL
from train.checkpoints import model_pt
from train.quantization.choose_ranges import quantize_as_trained
from train.quantization.qat.classifier import QuantizedClassifier
from train.training.lightning_module import Classifier

QAT = [*TINY, "--epochs=3"]


@pytest.fixture(scope="module")
def start(tiny_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("start") / "model.pt"
    shutil.copy(tiny_run / "model.pt", path)
    return path


def _qat(run_room, start, folder, *arguments):
    root = f"--trainer.default_root_dir={folder / 'run'}"
    return run_room("train", "qat", *QAT, f"--checkpoint={start}", root, *arguments, cwd=ROOT)


@pytest.fixture(scope="module")
def qat_run(run_room, start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("qat")
    done = _qat(run_room, start, folder)
    assert done.returncode == 0, done.stderr
    return folder / "run_qat"


@pytest.mark.slow
def test_what_was_trained_is_what_is_exported(qat_run, start):
    trained = model_pt.load(qat_run / "model.pt")
    before = model_pt.load(start)
    assert any(not torch.equal(trained.state_dict[n], t) for n, t in before.state_dict.items())
    assert str(start) not in str(trained.provenance)
    assert trained.quantization["method"] == "qat"
    x = trained.calibration.float()[:32]
    with torch.no_grad():
        wanted = trained.build()(x)
        got = quantize_as_trained(trained).network(x)
    error = (got - wanted).square().mean() / wanted.square().mean()
    assert error < 10 ** (-7 / 10)  # a net of three short epochs; it would be above 1 with wrong ranges


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(qat_run, run_room, start, tmp_path):
    kill = ["--trainer.callbacks+=tests.train.kill.KillInEpoch", "--trainer.callbacks.epoch=1"]
    done = _qat(run_room, start, tmp_path, *kill)
    assert done.returncode == -signal.SIGKILL, done.stderr
    done = _qat(run_room, start, tmp_path, "--ckpt_path=last")
    assert done.returncode == 0, done.stderr
    resumed, whole = (model_pt.load(run / "model.pt") for run in (tmp_path / "run_qat", qat_run))
    for name, tensor in whole.state_dict.items():
        torch.testing.assert_close(resumed.state_dict[name], tensor, rtol=0, atol=1e-6)
    for name, limits in whole.quantization["ranges"].items():
        assert resumed.quantization["ranges"][name] == pytest.approx(limits, abs=1e-5)


@pytest.mark.slow
def test_two_processes_train_one_model(run_room, start, tmp_path):
    two = ["--trainer.devices=2", "--trainer.strategy=ddp", "--data.batch_size=10", "--epochs=1"]
    done = _qat(run_room, start, tmp_path, *two, "--trainer.max_epochs=1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("wrote ") == 1
    assert model_pt.load(tmp_path / "run_qat" / "model.pt").quantization["method"] == "qat"


@pytest.mark.parametrize("share", [{"frozen_share": 0}, {"float_weight": 2}])
def test_shares_that_make_no_sense_are_refused(share):
    with pytest.raises(ConfigError, match=r"frozen_share lies in \(0, 1\] and float_weight in \[0, 1\]"):
        QuantizedClassifier("not read yet.pt", labels=("a", "b"), **share)


@pytest.mark.slow
def test_a_part_of_the_training_may_move_ranges_and_batch_norm(run_room, start, tmp_path):
    # only the last epoch is validated, and it is frozen; the best of all may lie before that
    parts = ["--model.frozen_share=0.3", "--model.float_weight=0.5", "--trainer.check_val_every_n_epoch=3"]
    done = _qat(run_room, start, tmp_path, *parts)
    assert done.returncode == 0, done.stderr
    trained, before = model_pt.load(tmp_path / "run_qat" / "model.pt"), model_pt.load(start)
    moved = [name for name in before.state_dict if name.endswith("running_var")]
    assert not any(torch.equal(before.state_dict[name], trained.state_dict[name]) for name in moved)
    assert trained.quantization["scales"]
    assert all(min(scales) > 0 for scales in trained.quantization["scales"].values())


def test_checkpoint_of_other_labels_is_refused(run_room, tmp_path, tiny_run):
    from dataclasses import replace

    other = model_pt.load(tiny_run / "model.pt")
    model_pt.save(replace(other, labels=tuple(reversed(other.labels))), tmp_path / "other.pt")
    done = _qat(run_room, tmp_path / "other.pt", tmp_path)
    assert done.returncode == 2, done.stderr
    assert "give the recipe that trained it" in done.stderr


@pytest.mark.parametrize(
    ("setting", "value"),
    [("frontend", "cp_mel_512"), ("clip_s", 2.0), ("arguments", {**SMALL, "base_channels": 16})],
)
def test_a_recipe_of_other_settings_is_refused(tmp_path, setting, value):
    recipe = {"student": "cp_mobile", "arguments": SMALL, "labels": ("a", "b")}
    model_pt.save(Classifier(**recipe).to_checkpoint(), tmp_path / "model.pt")
    QuantizedClassifier(str(tmp_path / "model.pt"), **recipe)
    with pytest.raises(ConfigError, match=rf"another value of model\.{setting} than this recipe"):
        QuantizedClassifier(str(tmp_path / "model.pt"), **{**recipe, setting: value})


def test_a_default_of_the_student_counts_as_given(tmp_path):
    recipe = {"student": "cp_mobile", "labels": ("a", "b")}
    model_pt.save(Classifier(**recipe).to_checkpoint(), tmp_path / "model.pt")
    QuantizedClassifier(str(tmp_path / "model.pt"), arguments={"base_channels": 32}, **recipe)


def test_fit_and_qat_resume_their_own_checkpoints_only(tmp_path):
    recipe = {"student": "cp_mobile", "arguments": SMALL, "labels": ("a", "b")}
    trained = Classifier(**recipe)
    windows = {
        "calibration": torch.randn(4, *trained.input_shape[1:]).half(),
        "calibration_ids": tuple("abcd"),
    }
    model_pt.save(trained.to_checkpoint(**windows), tmp_path / "model.pt")
    both = [trained, QuantizedClassifier(str(tmp_path / "model.pt"), **recipe)]
    for theirs in both:
        values = {"state_dict": theirs.state_dict()}
        theirs.on_save_checkpoint(values)
        for ours in both:
            if ours is theirs:
                ours.on_load_checkpoint(values)
            else:
                with pytest.raises(ConfigError, match="another kind of training"):
                    ours.on_load_checkpoint(values)
