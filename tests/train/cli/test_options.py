"""Options that cannot be used are one sentence; what was typed counts."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from runtime.errors import ConfigError, TinysceneError
from tests.train.conftest import TINY
from train.checkpoints import model_pt
from train.cli import sweep
from train.cli.main import main

SMALL = [*TINY, "--data.corpus.train_clips=20", "--data.batch_size=10"]


@pytest.mark.parametrize(
    ("option", "fact"),
    [
        ("--trainer.accelerator=tpu", "trainer's options"),
        ("--trainer.accelerator=quantum", "quantum"),
        ("--trainer.strategy=telepathy", "telepathy"),
        ("--trainer.devices=0", "devices='0'"),
        ("--trainer.default_root_dir=/proc/x", "name another trainer.default_root_dir"),
        ("--trainer.limit_train_batches=2.5", "limit_train_batches"),
        ("--data.batch_size=0", "data.batch_size"),
        ("--data.batch_size=-1", "data.batch_size"),
        ("--data.num_workers=-2", "data.num_workers"),
        ("--data.labelled=1.5", "data.labelled"),
        ("--seed_everything=-1", "seed_everything"),
        ("--model.lr=-1", "model.lr"),
        ("--model.weight_decay=-1", "model.weight_decay"),
        ("--model.clip_s=-3", "model.clip_s"),
        ("--model.clip_s=1e9", "model.clip_s"),
        ("--model.augmentation={mixup_alpha: -1}", "mixup_alpha is a number of 0 or more, not -1"),
        ("--model.augmentation={freq_mixstyle_p: 3}", "freq_mixstyle_p lies in [0, 1], not 3"),
        ("--model.arguments={strides: 3}", "strides is a table of blocks"),
        ("--data.corpus.seed=-1", "0 or more, not -1"),
        ("--data.corpus.seconds=0", "data.corpus.seconds"),
        ("--model.lr=1e30", "not finite, so the training has diverged"),
        ("--trainer.precision=12", "trainer.precision"),
        ("--rules=dcase1999", "dcase1999"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(tmp_path, option, fact):
    root = [] if "default_root_dir" in option else [f"--trainer.default_root_dir={tmp_path}"]
    with pytest.raises(TinysceneError) as caught:
        main(["fit", *SMALL, *root, option])
    assert fact in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="taken"):
        main(["fit", *SMALL, f"--trainer.default_root_dir={tmp_path / 'taken' / 'run'}"])


def test_a_training_without_checkpoints_writes_its_model(tmp_path):
    one_epoch = ["--trainer.max_epochs=1", "--trainer.enable_checkpointing=false"]
    assert main(["fit", *SMALL, *one_epoch, f"--trainer.default_root_dir={tmp_path}"]) == 0
    assert (tmp_path / "model.pt").exists() and not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("key", ["model.seed", "data.seed", "data.sample_rate"])
def test_a_key_of_a_recipe_that_another_key_sets_is_refused(tmp_path, key):
    table, name = key.split(".")
    (tmp_path / "recipe.yaml").write_text(f"{table}:\n  {name}: 5\n")
    with pytest.raises(ConfigError, match=rf"recipe\.yaml has {key}"):
        main(["fit", "--config", str(tmp_path / "recipe.yaml"), *SMALL])


def qat(tiny_run, folder, *options: str) -> int:
    """Epochs that QAT trained."""
    others = [option for option in SMALL if "max_epochs" not in option]
    root = f"--trainer.default_root_dir={folder / 'run'}"
    assert main(["qat", *others, root, f"--checkpoint={tiny_run / 'model.pt'}", *options]) == 0
    return model_pt.load(folder / "run_qat" / "model.pt").provenance["epochs"]


def test_qat_trains_as_many_epochs_as_were_typed(tiny_run, tmp_path):
    assert qat(tiny_run, tmp_path, "--trainer.max_epochs", "2") == 2


@pytest.mark.slow
def test_qat_takes_what_was_typed_before_what_the_recipe_says(tiny_run, tmp_path):
    (tmp_path / "recipe.yaml").write_text("epochs: 3\ntrainer:\n  max_epochs: 4\n")
    assert qat(tiny_run, tmp_path, f"--config={tmp_path / 'recipe.yaml'}", "--trainer.max_epochs=1") == 1


def test_qat_refuses_two_numbers_of_epochs(tiny_run, tmp_path):
    with pytest.raises(ConfigError, match=r"--epochs 2 and --trainer\.max_epochs 1"):
        qat(tiny_run, tmp_path, "--epochs=2", "--trainer.max_epochs=1")
    with pytest.raises(ConfigError, match="epochs"):
        qat(tiny_run, tmp_path, "--epochs=0")


def test_qat_refuses_calibration_windows_that_hold_nan(tiny_run, tmp_path):
    model = model_pt.load(tiny_run / "model.pt")
    windows = torch.full_like(model.calibration, torch.nan)
    model_pt.save(dataclasses.replace(model, calibration=windows), tmp_path / "nan.pt")
    with pytest.raises(TinysceneError, match=r"nan\.pt.*NaN"):
        main(["qat", *SMALL, f"--checkpoint={tmp_path / 'nan.pt'}", f"--trainer.default_root_dir={tmp_path}"])


@pytest.mark.parametrize(
    ("option", "key"),
    [
        ("--model.frontend=passt_mel", "model.frontend"),
        ("--model.arguments.expansion_rate=2.0", "model.arguments"),
        ("--model.clip_s=0.5", "model.clip_s"),
    ],
)
def test_a_model_is_not_tested_by_another_recipe(tiny_run, option, key):
    with pytest.raises(ConfigError, match=key):
        main(["test", *TINY, f"--trainer.default_root_dir={tiny_run}", option])


@pytest.mark.parametrize(
    "override", ["seed_everything=4", "--trainer.default_root_dir=x", "ckpt_path=last", "config=x.yaml"]
)
def test_a_sweep_refuses_what_it_would_override(tmp_path, override):
    with pytest.raises(ConfigError, match=override.strip("-").partition("=")[0]):
        sweep.plan([override], [0], tmp_path)


def test_loading_options_stay_out_of_the_model(tiny_run):
    recipe = model_pt.load(tiny_run / "model.pt").provenance["recipe"]
    assert "num_workers" not in json.dumps(recipe) and "batch_size" in recipe["data"]


def test_a_recipe_that_is_not_utf_8_is_named(tmp_path):
    recipe, runs = tmp_path / "recipe.yaml", str(tmp_path / "runs")
    recipe.write_bytes("model: {student: cp_mobile}  # caf\xe9\n".encode("latin-1"))
    for command in (["fit"], ["check-data"]):
        with pytest.raises(ConfigError, match=r"recipe.yaml is not text in UTF-8 .*: save it as UTF-8"):
            main([*command, f"--config={recipe}"])
    with pytest.raises(TinysceneError, match="stopped in `fit`"):  # which says why
        main(["sweep", f"--config={recipe}", "--seeds", "0", "-o", runs])
