"""The examples of CONTRIBUTING.md do what it says, together in one training."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
import soundfile
import torch

from runtime import spec
from tests.conftest import ROOT
from train import networks
from train.augmentation import waveform
from train.augmentation.random_draws import generator_for
from train.checkpoints import model_pt
from train.cli.main import main


@pytest.fixture
def examples() -> list[str]:
    """Student, corpus, front end, augmentation."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)


def test_a_student_a_corpus_and_a_front_end_train(examples, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in zip(("tiny", "pets"), examples, strict=False):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setitem(networks.NETWORKS, "tiny", __import__("tiny").Tiny)
    monkeypatch.setattr(spec, "PRESETS", {**spec.PRESETS, **eval(f"{{{examples[2]}}}", vars(spec))})
    rng, rows = np.random.default_rng(0), []
    for index in range(24):
        soundfile.write(tmp_path / f"{index}.wav", rng.standard_normal(8_000) * 0.1, 8_000)
        rows.append(
            (f"{index}.wav", ("cat", "dog")[index % 2], f"home {index}", ("train", "val")[index // 16])
        )
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "pet", "home", "split"), *rows])
    monkeypatch.setattr("sys.argv", ["train"])  # the door sets it anew
    ours = ["--model.student=tiny", "--model.arguments={width: 8}", "--model.frontend=narrow_mel"]
    ours += ["--data.corpus=pets.Pets", f"--data.corpus.root={tmp_path}", "--data.batch_size=8"]
    few = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", f"--trainer.default_root_dir={tmp_path}"]
    assert main(["fit", *ours, *few]) == 0
    model = model_pt.load(tmp_path / "model.pt")
    assert (model.student, model.labels, model.frontend.n_mels) == ("tiny", ("cat", "dog"), 64)
    assert model.build()(torch.zeros(model.input_shape)).shape == (1, 2)


def test_an_augmentation_follows_its_generator(examples):
    exec(examples[3], namespace := {**vars(waveform)})
    waves = torch.ones(1000, 2)
    one, same = (namespace["flip"](waves, 0.3, generator_for(7)) for _ in range(2))
    assert torch.equal(one, same) and set(one.unique().tolist()) == {-1, 1}
    assert float((one[:, 0] < 0).float().mean()) == pytest.approx(0.3, abs=0.05)
