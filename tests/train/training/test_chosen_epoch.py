"""``fit --chosen-epoch last``: the validation split chooses nothing, so that its score can be reported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests.train.conftest import TINY
from train.checkpoints import model_pt
from train.cli.main import main

BAR = "--trainer.callbacks=[{class_path: train.training.step_bar.StepBar}]"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("last")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", sys.argv)  # `main` sets it
        assert main(["fit", *TINY, "--chosen-epoch=last", BAR, f"--trainer.default_root_dir={root}"]) == 0
    return root


def test_the_last_weights_are_taken(run):
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    weights = model_pt.load(run / "model.pt").state_dict
    assert all(torch.equal(weights[name], last[f"student.{name}"]) for name in weights)
    assert not (run / "checkpoints" / "best.ckpt").exists()


def test_the_confidence_is_fitted_all_the_same(run):
    model = model_pt.load(run / "model.pt")
    assert model.provenance["checkpoint"] == "last epoch" and model.temperature != 1.0
