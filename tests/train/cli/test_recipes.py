"""Every recipe parses, builds what it names, says how to run it, and trains two batches."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from runtime.spec import FrontEndSpec
from tests.conftest import ROOT
from tests.train.teachers.tiny import TINY
from train import networks
from train.checkpoints import model_pt
from train.cli.main import main
from train.data.datasets.synthetic import SCENES

RECIPES = sorted((ROOT / "train" / "recipes").glob("*.yaml"))
FEW = [
    "--data.corpus=train.data.Synthetic", "--data.corpus.train_clips=20", "--data.corpus.val_clips=10",
    "--data.corpus.test_clips=10", "--data.batch_size=10",
]  # fmt: skip
LOUDNESS = "tests.train.distillation.teacher:loudness"


@pytest.fixture(autouse=True)
def _as_from_the_top_of_the_checkout(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", sys.argv)  # `main` sets it
    soundfile.write(tmp_path / "microphone.wav", np.array([0, 1, 0.5, 0]), 32_000)
    monkeypatch.setenv("MIC_IR_DIR", str(tmp_path))


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


def _model(recipe: Path) -> dict:
    return yaml.safe_load(recipe.read_text())["model"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_opens_with_its_command_and_builds_what_it_names(recipe):
    text, model = recipe.read_text(), _model(recipe)
    verb = "qat" if "lr_scale" in text else "fit"
    assert re.search(rf"python -m train {verb} +--config train/recipes/{recipe.name}", text)
    front_end = FrontEndSpec.preset(model["frontend"])
    with torch.device("meta"):
        network = networks.build(model["student"], {**model.get("arguments", {}), "n_classes": 10})
    frozen = [name for name in model.get("frozen", ()) if name not in dict(network.named_modules())]
    assert not frozen
    clip_s = model.get("clip_s", 1.0)
    shape = (2, 1, front_end.n_mels, front_end.frames(round(clip_s * front_end.sample_rate)))
    network.eval()
    assert network(torch.zeros(shape, device="meta")).shape == (2, 10)
    over = sum(parameter.numel() for parameter in network.parameters()) > 128_000
    assert ("--allow-over-budget" in text) >= over
    head = " ".join(line.lstrip("# ") for line in text.partition("seed_everything")[0].splitlines())
    run = ("measured", "% of", "tested", "cannot be run here for want of")
    assert any(words in head.lower() for words in run)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_trains_two_batches(recipe, tagged, tmp_path, request):
    text, model = recipe.read_text(), _model(recipe)
    verb, options = "fit", ["--trainer.max_epochs=1"]
    if "lr_scale" in text:
        verb, options = "qat", ["--checkpoint", str(request.getfixturevalue("untrained")), "--epochs=1"]
    options += FEW
    if "train.data.Tags" in text:
        options = ["--trainer.max_epochs=1", f"--data.corpus.path={tagged}", "--data.batch_size=10"]
        options += ["--data.corpus.empty=unlabelled"]
    if "negative_share" in text:
        options += ["--data.negative_share=null"]  # the synthetic scenes have no negatives
    if model["student"] in TINY:  # a hundred million parameters in full
        arguments = {**model.get("arguments", {}), **TINY[model["student"]]}
        options += [f"--model.arguments={json.dumps(arguments)}", "--allow-over-budget"]
    if "distillation" in model:
        options += _taught(recipe, options, tmp_path, model)
    done = main([
        verb, "--config", str(recipe), *options, "--trainer.limit_train_batches=2",
        "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
        f"--trainer.default_root_dir={tmp_path / 'run'}",
    ])  # fmt: skip
    assert done == 0
    trained = model_pt.load(tmp_path / ("run_qat" if verb == "qat" else "run") / "model.pt")
    assert trained.student == model["student"]


def _taught(recipe: Path, options: list[str], folder: Path, model: dict) -> list[str]:
    """A teacher in place of the recipe's; where the recipe takes stored views, a store that it wrote."""
    if "train.data.Tags" not in recipe.read_text():
        return ["--model.distillation.stores=[]", f"--model.distillation.teachers=[{LOUDNESS}]"]
    labels, name = ("alarm", "rain", "siren"), model["student"]
    arguments = {**TINY[name], "n_classes": len(labels)}
    teacher = model_pt.Checkpoint(
        name, arguments, FrontEndSpec.preset(model["frontend"]), labels,
        networks.build(name, arguments).state_dict(), task="multi_label", clip_s=model["clip_s"],
    )  # fmt: skip
    model_pt.save(teacher, folder / "teacher.pt")
    of_corpus = [option for option in options if option.startswith("--data.")]
    assert main([
        "teach", "--config", str(recipe), *of_corpus, "--teacher", str(folder / "teacher.pt"), "--views=1",
        "--top-k=2", "-o", str(folder / "views.h5"),
    ]) == 0  # fmt: skip
    return [f"--model.distillation.stores=[{folder / 'views.h5'}]", "--model.distillation.teachers=[]"]
