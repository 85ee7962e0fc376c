"""Features of Lightning in a recipe: averaged weights, early stopping, bf16, loggers."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Callback
from lightning_utilities.core.imports import RequirementCache

from runtime.errors import ConfigError, MissingExtraError
from tests.train.conftest import TINY
from train.checkpoints import model_pt
from train.cli.main import main
from train.data import ClipData, Synthetic
from train.log_mel import LogMel
from train.training.confidence import fit_confidence

EVERYTHING = """
trainer:
  max_epochs: 30
  precision: bf16-mixed
  accumulate_grad_batches: 2
  log_every_n_steps: 1
  logger:
    - class_path: CSVLogger
      init_args: {save_dir: ROOT, name: csv}
    - class_path: TensorBoardLogger
      init_args: {save_dir: ROOT, name: tensorboard}
  callbacks:
    - class_path: EMAWeightAveraging
      init_args: {decay: 0.5}
    - class_path: EarlyStopping
      init_args: {monitor: val/accuracy, mode: max, patience: 1, min_delta: 1.0}
    - class_path: LearningRateMonitor
"""


def fit(root: Path, monkeypatch, *more: str) -> None:
    """A tiny ``fit`` in this process: it starts in no time."""
    monkeypatch.setattr(sys, "argv", sys.argv)  # `main` sets it
    assert main(["fit", *TINY, *more, f"--trainer.default_root_dir={root}"]) == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A training with everything at once; its folder also has the probabilities of the last validation."""
    root = tmp_path_factory.mktemp("everything")

    def record(probabilities, *rest):
        np.save(root / "evaluated.npy", probabilities)
        return fit_confidence(probabilities, *rest)

    (root / "recipe.yaml").write_text(EVERYTHING.replace("ROOT", str(root)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.cli.lightning_cli.fit_confidence", record)
        fit(root, patch, "--config", str(root / "recipe.yaml"), "--data.batch_size=10")
    return root


def test_model_pt_holds_the_averaged_weights_of_the_best_epoch(run):
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    averaged, trained = best["state_dict"], best["current_model_state"]
    model = model_pt.load(run / "model.pt")
    name = "in_c.0.0.weight"
    assert torch.equal(model.state_dict[name], averaged[f"student.{name}"])
    assert not torch.equal(model.state_dict[name], trained[f"student.{name}"])
    assert model.state_dict[name].dtype == torch.float32  # bf16 is for the arithmetic alone


def test_the_batch_norm_statistics_are_those_of_the_averaged_weights(run):
    averaged = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    model = model_pt.load(run / "model.pt")
    data = ClipData(Synthetic(train_clips=40, val_clips=10, test_clips=20))
    data.setup("fit")
    windows = data.datasets["train"].at_rest(range(40)).waveform
    network = model.build()
    measured: list[torch.Tensor] = []
    network.in_c[0][1].register_forward_pre_hook(lambda part, inputs: measured.append(inputs[0]))
    with torch.no_grad():
        network(LogMel(model.frontend)(windows))
    mean = measured[0].mean(dim=(0, 2, 3))
    name = "in_c.0.1.running_mean"
    estimated, of_batches = model.state_dict[name], averaged[f"student.{name}"]
    # the training's views are augmented, these windows are not
    assert (estimated - mean).norm() < 0.5 * (of_batches - mean).norm()


def test_the_temperature_is_fitted_to_the_weights_of_model_pt(run):
    model = model_pt.load(run / "model.pt")
    assert "epoch 0" in model.provenance["checkpoint"]  # the average went on for an epoch
    data = ClipData(Synthetic(train_clips=40, val_clips=10, test_clips=20))
    data.setup("validate")
    windows = data.datasets["val"].at_rest(range(10)).waveform
    with torch.no_grad():
        logits = model.build()(LogMel(model.frontend)(windows))
    evaluated = torch.from_numpy(np.load(run / "evaluated.npy"))
    torch.testing.assert_close(evaluated, logits.softmax(dim=1), atol=0.02, rtol=0)  # bf16


def test_training_stops_early_and_steps_every_second_batch(run):
    rows = list(csv.DictReader(next((run / "csv").rglob("metrics.csv")).open()))
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 1  # nothing gets better by 1.0, so the second epoch is the last
    assert last["global_step"] == 2 * 2  # forty clips, ten a batch, two batches a step
    assert any(row.get("lr-AdamW") for row in rows)
    assert list((run / "tensorboard").rglob("events.*"))


class RecordEpochs(Callback):
    """Records the trained weights after each epoch's last batch."""

    weights: ClassVar[list[torch.Tensor]] = []

    def on_train_batch_end(self, trainer, module, *rest) -> None:
        if trainer.is_last_batch:
            self.weights.append(module.state_dict()["student.in_c.0.0.weight"].clone())


def test_the_mean_over_epochs_is_what_is_saved(tmp_path, monkeypatch):
    average = [
        "--trainer.callbacks+=train.training.weight_averaging.EpochAverage",
        "--trainer.callbacks.first_epoch=1",
    ]
    fit(
        tmp_path,
        monkeypatch,
        *average,
        "--trainer.callbacks+=tests.train.training.test_lightning.RecordEpochs",
    )
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    first, second, third = RecordEpochs.weights
    torch.testing.assert_close(last["student.in_c.0.0.weight"], (second + third) / 2)
    assert not torch.equal(second, third) and not torch.equal(first, second)


def test_an_average_that_would_be_lost_is_refused(tmp_path, monkeypatch):
    swa = ["--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01"]
    with pytest.raises(ConfigError, match=r"EpochAverage"):
        fit(tmp_path, monkeypatch, *swa)


def test_every_logger_has_the_recipe(run):
    for logger in ("csv", "tensorboard"):
        hparams = yaml.safe_load(next((run / logger).rglob("hparams.yaml")).read_text())
        assert hparams["data"]["batch_size"] == 10 and hparams["trainer"]["max_epochs"] == 30
        assert hparams["model"]["augmentation"]["mask_mels"] == 8 and str(run) not in str(hparams)


WANDB = """
trainer:
  max_epochs: 1
  log_every_n_steps: 1
  logger:
    class_path: WandbLogger
    init_args: {save_dir: ROOT, project: tiny, offline: true}
"""


@pytest.fixture
def to_wandb(tmp_path) -> list[str]:
    """Arguments of a fit that logs to Weights & Biases, by a recipe."""
    (tmp_path / "recipe.yaml").write_text(WANDB.replace("ROOT", str(tmp_path)))
    return ["--config", str(tmp_path / "recipe.yaml")]


def test_weights_and_biases_logs_offline(tmp_path, monkeypatch, to_wandb):
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'tinyscene[wandb]'")
    fit(tmp_path, monkeypatch, *to_wandb)
    records = b"".join(path.read_bytes() for path in tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    for name in (b"train/loss", b"val/accuracy", b"train/data_wait", b"val/device/a", b"batch_size"):
        assert name in records


def test_a_missing_logger_names_its_extra(tmp_path, monkeypatch, to_wandb):
    never = RequirementCache("wandb>=1000")
    monkeypatch.setattr("lightning.pytorch.loggers.wandb._WANDB_AVAILABLE", never)
    with pytest.raises(MissingExtraError, match=r"tinyscene\[wandb\]"):
        fit(tmp_path, monkeypatch, *to_wandb)


def test_the_error_of_a_config_class_is_reported_as_it_is(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"schedule\.down"):
        fit(tmp_path, monkeypatch, "--model.schedule.growth=2")
