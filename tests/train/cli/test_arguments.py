"""A typo anywhere in a recipe or on the command line names the nearest key."""

from __future__ import annotations

import sys
import warnings

import pytest

from runtime.errors import ConfigError
from train.cli.lightning_cli import TrainCLI
from train.cli.main import main
from train.cli.recipe import portable_values

RECIPE = """
model:
  {model}
data:
  corpus:
    class_path: train.data.{corpus}
    init_args:
      {option}: 10
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "warm_up: 0.2"}, "no key 'model.warm_up': did you mean 'warmup'"),
        ({"model": "lr: fast"}, 'Parser key "model.lr": Expected a'),
        ({"model": "augmentation: {gain: 3}"}, "Augmentation has no option 'gain': did you mean 'gain_db'"),
        ({"corpus": "Syntetic"}, "train.data has no class 'Syntetic': did you mean 'Synthetic'"),
        ({"option": "train_clip"}, "Synthetic has no option 'train_clip': did you mean 'train_clips'"),
    ],
)
def test_in_a_recipe(tmp_path, monkeypatch, change, message):
    values = {"model": "lr: 0.1", "corpus": "Synthetic", "option": "train_clips", **change}
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(**values))
    monkeypatch.setattr(sys, "argv", ["train", "fit", "--config", str(tmp_path / "recipe.yaml")])
    with pytest.raises(ConfigError) as caught:
        TrainCLI()
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--model.warmpu=1", "did you mean 'warmup'"),
        ("--model.learning_rate=1", "no key 'model.learning_rate': choose from arguments"),
        ("--modle.lr=1", "did you mean 'model.lr'"),
        ("--colour=blue", "no key 'colour': choose from .*data"),
    ],
)
def test_on_the_command_line(monkeypatch, argument, message):
    monkeypatch.setattr(sys, "argv", ["train", "fit", "--data.corpus=train.data.Synthetic", argument])
    with pytest.raises(ConfigError, match=message):
        TrainCLI()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit"], r"give --sounds DIR,.* or --config RECIPE"),
        (["qat"], r"give --sounds DIR,.* or --config RECIPE"),
        (["qat", "--data.corpus=train.data.Synthetic"], "give --checkpoint"),
    ],
)
def test_what_is_missing_is_named_as_it_is_typed(monkeypatch, arguments, message):
    monkeypatch.setattr(sys, "argv", sys.argv)  # the door sets it anew
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    with pytest.raises(ConfigError, match=message):
        main(arguments)


def test_a_warning_is_a_sentence_without_its_place_in_the_code(monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    with pytest.raises(ConfigError):
        main(["fit"])
    assert warnings.formatwarning("Look.", UserWarning, "folder.py", 168) == "warning: Look.\n"


def test_what_a_model_keeps_of_its_recipe_names_no_folder(tmp_path):
    root = str(tmp_path / "esc")
    recipe = {"data": {"corpus": {"init_args": {"root": root, "folds": [1, root]}}, "batch_size": 3}, "x": 1}
    assert portable_values(recipe, "model", "data") == {
        "data": {"corpus": {"init_args": {"root": "esc", "folds": [1, "esc"]}}, "batch_size": 3}
    }
