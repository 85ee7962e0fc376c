"""Every published teacher is fine-tuned from weights for other labels, and then teaches a student."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from runtime.spec import FrontEndSpec
from tests.train.teachers.tiny import TINY
from train import networks
from train.checkpoints import model_pt
from train.checkpoints.detect_student import front_end_of
from train.cli.main import main

TWO_STEPS = [
    "--data.corpus=train.data.Synthetic", "--data.corpus.train_clips=20", "--data.corpus.val_clips=10",
    "--data.corpus.test_clips=10", "--data.batch_size=8", "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=2", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
    "--trainer.log_every_n_steps=1",
]  # fmt: skip
STUDENT = "{base_channels: 8, channels_multiplier: 1.0, expansion_rate: 1.0, n_blocks: [1]}"


@pytest.mark.parametrize("name", TINY)
def test_two_steps_of_fine_tuning_and_two_of_distillation(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", sys.argv)  # `main` sets it
    frontend = front_end_of(name, {})
    published = networks.build(name, {**TINY[name], "n_classes": 3})
    start = model_pt.Checkpoint(
        name, {**TINY[name], "n_classes": 3}, FrontEndSpec.preset(frontend), ("a", "b", "c"),
        published.state_dict(),
    )  # fmt: skip
    model_pt.save(start, tmp_path / "start.pt")
    patchout = {"s_patchout_t": 2, "u_patchout": 4} if name == "passt" else {}
    assert main([
        "fit", f"--model.student={name}", f"--model.arguments={json.dumps({**TINY[name], **patchout})}",
        f"--model.frontend={frontend}", "--model.layer_decay=0.75", "--allow-over-budget",
        "--init", str(tmp_path / "start.pt"),
        *TWO_STEPS, f"--trainer.default_root_dir={tmp_path / 'teacher'}",
    ]) == 0  # fmt: skip
    assert "initialised at random" in capsys.readouterr().err
    teacher = model_pt.load(tmp_path / "teacher" / "model.pt")
    assert teacher.student == name and len(teacher.labels) == 10
    with torch.no_grad():
        assert teacher.build()(torch.zeros(teacher.input_shape)).isfinite().all()
    assert main([
        "fit", f"--model.arguments={STUDENT}",
        f"--model.distillation.teachers=[{tmp_path / 'teacher' / 'model.pt'}]", *TWO_STEPS,
        f"--trainer.default_root_dir={tmp_path / 'student'}",
    ]) == 0  # fmt: skip
    provenance = model_pt.load(tmp_path / "student" / "model.pt").provenance
    assert provenance["teachers"][0]["network"] == name
