"""Every recipe parses, builds, says how to run it, and trains two batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from runtime.spec import FrontEndSpec
from tests.conftest import ROOT
from train import networks
from train.checkpoints import model_pt
from train.data.datasets.synthetic import SCENES

RECIPES = sorted((ROOT / "train" / "recipes").glob("*.yaml"))
FEW = [
    "--data.corpus=train.data.Synthetic", "--data.corpus.train_clips=20", "--data.corpus.val_clips=10",
    "--data.corpus.test_clips=10", "--data.batch_size=10",
]  # fmt: skip


@pytest.fixture(scope="module")
def store(run_room, tmp_path_factory) -> Path:
    """What a teacher says to the few clips."""
    path = tmp_path_factory.mktemp("taught") / "logits.h5"
    done = run_room(
        "train", "teach", *FEW, "--teacher=tests.train.distillation.teacher:loudness", "-o", path, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def untrained(tmp_path_factory) -> Path:
    """A full-size student to go on from."""
    path = tmp_path_factory.mktemp("untrained") / "model.pt"
    arguments = {"n_classes": len(SCENES)}
    student = model_pt.Checkpoint(
        student="cp_mobile",
        arguments=arguments,
        frontend=FrontEndSpec.preset("cp_mel"),
        labels=tuple(SCENES),
        state_dict=networks.build("cp_mobile", arguments).state_dict(),
        calibration=torch.randn(4, 1, 256, 64).half(),
    )
    model_pt.save(student, path)
    return path


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_says_its_command_and_trains_two_batches(
    recipe: Path, run_room, tagged, tmp_path, monkeypatch, request
):
    soundfile.write(tmp_path / "microphone.wav", np.array([0, 1, 0.5, 0]), 32_000)
    monkeypatch.setenv("MIC_IR_DIR", str(tmp_path))
    text = recipe.read_text()
    verb, of_verb = "fit ", ["--trainer.max_epochs=1"]
    if "lr_scale" in text:
        verb, of_verb = "qat", ["--checkpoint", request.getfixturevalue("untrained"), "--epochs=1"]
    assert f"python -m train {verb} --config train/recipes/{recipe.name}" in text
    corpus = FEW
    if "train.data.Tags" in text:
        corpus = [f"--data.corpus.path={tagged}", "--data.corpus.empty=unlabelled", "--data.batch_size=10"]
    if "negative_share" in text:
        corpus = [*corpus, "--data.negative_share=null"]  # the synthetic scenes have no negatives
    taught = []
    if "distillation" in text:
        store = request.getfixturevalue("store")
        taught = [f"--model.distillation.stores=[{store}]", "--model.distillation.teachers=[]"]
    if "allow-over-budget" in text:
        of_verb = [*of_verb, "--allow-over-budget"]
    done = run_room(
        "train", verb.strip(), "--config", recipe, *corpus, *of_verb, *taught,
        "--trainer.limit_train_batches=2", "--trainer.enable_progress_bar=false",
        f"--trainer.default_root_dir={tmp_path / 'run'}", cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ("run_qat" if verb == "qat" else "run") / "model.pt").is_file()
