"""`fit --init`: a training starts from the weights of another model, and says what differs."""

from __future__ import annotations

import sys

import pytest
import torch

from runtime.errors import ConfigError, TinysceneError
from runtime.spec import FrontEndSpec
from tests.train.conftest import TINY
from train import networks
from train.checkpoints import model_pt
from train.cli.main import main
from train.data.datasets.synthetic import SCENES
from train.training.initial_weights import load_initial_weights
from train.training.lightning_module import Classifier

SMALL = {"base_channels": 8, "channels_multiplier": 1.0, "expansion_rate": 1.0, "n_blocks": [1]}
STEM, HEAD = "in_c.0.0.weight", "feed_forward.0.weight"


@pytest.fixture
def start(tmp_path):
    """Write a model of random weights; returns its path and state_dict."""

    def write(labels, arguments=SMALL, frontend="cp_mel", student="cp_mobile", **fields):
        torch.manual_seed(5)
        arguments = {**arguments, "n_classes": len(labels)}
        state = networks.build(student, arguments).state_dict()
        model = model_pt.Checkpoint(
            student, arguments, FrontEndSpec.preset(frontend), tuple(labels), state, **fields
        )
        model_pt.save(model, tmp_path / "start.pt")
        return tmp_path / "start.pt", state

    return write


def test_the_same_labels_take_over_every_weight(start):
    path, state = start("abc")
    model = Classifier(arguments=SMALL, labels="abc")
    assert load_initial_weights(model, path) == []
    for key, value in model.student.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_labels_in_another_order_reorder_the_head(start):
    path, state = start("abc")
    model = Classifier(arguments=SMALL, labels="cab")
    notes = load_initial_weights(model, path)
    assert len(notes) == 1 and "order" in notes[0]
    assert torch.equal(model.student.state_dict()[HEAD], state[HEAD][[2, 0, 1]])


@pytest.mark.parametrize("labels", ["abcd", "xyz"])
def test_a_head_for_other_labels_is_made_anew(start, labels):
    path, state = start("abc")
    model = Classifier(arguments=SMALL, labels=labels)
    fresh = model.student.state_dict()[HEAD].clone()
    notes = load_initial_weights(model, path)
    assert len(notes) == 1 and HEAD in notes[0]
    assert torch.equal(model.student.state_dict()[HEAD], fresh)
    assert torch.equal(model.student.state_dict()[STEM], state[STEM])


def test_differences_that_leave_no_trace_in_the_weights_are_reported(start):
    path, _ = start("abc", {**SMALL, "strides": {"b1": [2, 2]}}, frontend="baseline_mel", clip_s=2.0)
    notes = " ".join(load_initial_weights(Classifier(arguments=SMALL, labels="abc"), path))
    for fact in ("strides", "f_max 16000.0, now 15500.0", "clip_s"):
        assert fact in notes


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"arguments": {**SMALL, "base_channels": 16}}, [STEM, "[4, 1, 3, 3]", '"base_channels": 16']),
        ({"student": "narrow_resnet", "arguments": {"base_channels": 8}}, ["narrow_resnet", "cp_mobile"]),
    ],
)
def test_another_architecture_is_refused(start, options, facts):
    path, _ = start("abc", **options)
    with pytest.raises(ConfigError) as caught:
        load_initial_weights(Classifier(arguments=SMALL, labels="abc"), path)
    assert all(fact in str(caught.value) for fact in facts), caught.value


def test_published_weights_are_imported_and_trained_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", sys.argv)  # `main` sets it
    torch.manual_seed(0)
    published = networks.build("cp_mobile", {**SMALL, "n_classes": 3}).state_dict()
    content = {"state_dict": {f"model.{key}": value for key, value in published.items()}}
    torch.save(content, tmp_path / "published.ckpt")
    imported = str(tmp_path / "imported.pt")
    assert main(["import", str(tmp_path / "published.ckpt"), "--labels", "a,b,c", "-o", imported]) == 0
    slow = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--model.lr=1e-12"]
    run = [*TINY, *slow, f"--trainer.default_root_dir={tmp_path / 'run'}", "--init", imported]
    assert main(["fit", *run]) == 0
    assert HEAD in capsys.readouterr().err
    model = model_pt.load(tmp_path / "run" / "model.pt")
    assert model.labels == tuple(SCENES) and len(model.calibration)
    assert model.provenance["init"]["file"] == "imported.pt"
    torch.testing.assert_close(model.state_dict[STEM], published[STEM], rtol=0, atol=1e-9)
    with pytest.raises(TinysceneError, match="--ckpt_path"):
        main(["fit", *run, "--ckpt_path=last"])
    with pytest.raises(TinysceneError, match="--init"):
        main(["validate", *run])
    for command in ("fit", "test"):
        with pytest.raises(TinysceneError, match="not a checkpoint"):
            main([command, *run[:-2], "--ckpt_path", imported])


def test_an_imported_model_takes_the_calibration_windows_of_qat_from_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)  # `main` sets it
    torch.manual_seed(0)
    published = networks.build("cp_mobile", {**SMALL, "n_classes": 10}).state_dict()
    torch.save(published, tmp_path / "published.pt")
    imported = str(tmp_path / "imported.pt")
    labels = ",".join(SCENES)
    assert main(["import", str(tmp_path / "published.pt"), "--labels", labels, "-o", imported]) == 0
    once = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=0"]
    run = [*TINY, *once, f"--trainer.default_root_dir={tmp_path / 'run'}", "--checkpoint", imported]
    assert main(["qat", *run]) == 0
    model = model_pt.load(tmp_path / "run_qat" / "model.pt")
    low, high = model.quantization["ranges"]["log_mel"]
    assert low < 0 < high and len(model.calibration)
    with pytest.raises(TinysceneError, match="--init"):
        main(["qat", *run, "--init", imported])
