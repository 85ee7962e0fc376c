"""Two steps of `fit` on miniature data for every published teacher, from its own front end."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from tests.train.teachers.tiny import TINY
from train.checkpoints import model_pt
from train.checkpoints.detect_student import front_end_of
from train.cli.main import main


@pytest.mark.parametrize("name", TINY)
def test_two_steps_of_fine_tuning(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)  # `main` sets it
    arguments = {**TINY[name], **({"s_patchout_t": 2, "u_patchout": 4} if name == "passt" else {})}
    assert main([
        "fit", f"--model.student={name}", f"--model.arguments={json.dumps(arguments)}",
        f"--model.frontend={front_end_of(name, {})}", "--allow-over-budget",
        "--data.corpus=train.data.Synthetic", "--data.corpus.train_clips=20", "--data.corpus.val_clips=10",
        "--data.corpus.test_clips=10", "--data.batch_size=8", "--trainer.max_epochs=1",
        "--trainer.limit_train_batches=2", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
        f"--trainer.default_root_dir={tmp_path}",
    ]) == 0  # fmt: skip
    model = model_pt.load(tmp_path / "model.pt")
    assert model.student == name
    with torch.no_grad():
        assert model.build()(torch.zeros(model.input_shape)).isfinite().all()
