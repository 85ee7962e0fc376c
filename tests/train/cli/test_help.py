"""What the command line tells about itself: every class and each of its values, and the whole recipe."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT
from train import data
from train.augmentation.config import Augmentation
from train.cli.main import main
from train.distillation.config import Distillation
from train.training.schedule import Schedule
from train.training.weight_averaging import EpochAverage

CORPORA = [getattr(data, name) for name in data.__all__]
CLASSES = {
    "data.corpus": [c for c in CORPORA if issubclass(c, data.Corpus) and not inspect.isabstract(c)],
    "model.augmentation": [Augmentation],
    "model.schedule": [Schedule],
    "model.distillation": [Distillation],
    "trainer.callbacks": [EpochAverage],
}


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *arguments])
    assert not stopped.value.code
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def _same_argv(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train"])  # the door sets it anew


@pytest.mark.parametrize(("key", "of"), [(key, of) for key, found in CLASSES.items() for of in found])
def test_help_explains_every_value_of_a_class(key, of, capsys):
    several = key in ("data.corpus", "trainer.callbacks")  # of these it has to be told which
    chosen = [f"{of.__module__}.{of.__name__}"] if several else []
    text = " ".join(printed(capsys, f"--{key}.help", *chosen).split())
    for name in inspect.signature(of).parameters:
        told = re.search(rf"--{key}\.{name} (.*?)\((?:required, )?type:", text.partition("Help for")[2])
        words = re.findall(r"\b[a-z]{2,}\b", re.sub(r"\{\S*\}|\[\S*\]", "", told[1]) if told else "")
        assert len(words) >= 2, f"{of.__name__} does not explain {name}"


def test_the_printed_recipe_is_a_recipe(capsys, tmp_path):
    recipe = ROOT / "train" / "recipes" / "synthetic_demo.yaml"
    text = printed(capsys, f"--config={recipe}", "--model.lr=0.125", "--print_config")
    values = yaml.safe_load(text)
    assert values["model"]["lr"] == 0.125 and values["model"]["augmentation"]["mixup_alpha"] is None
    assert values["data"]["corpus"]["init_args"]["train_clips"] == 1500
    (tmp_path / "printed.yaml").write_text(text)
    assert printed(capsys, f"--config={tmp_path / 'printed.yaml'}", "--print_config") == text


@pytest.mark.parametrize("package", ["train", "export"])
@pytest.mark.parametrize(("given", "found"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_asleep_before_torch_is_there(package, given, found):
    program = (
        "import contextlib, os, sys\n"
        f"from {package}.cli.main import main\n"
        "with contextlib.suppress(SystemExit):\n    main(['--help'])\n"
        "print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == f"False {found}"
