"""The share of waiting, on a clock that only the data, the steps and the validation move."""

from __future__ import annotations

import csv
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, Dataset

from train.training import data_wait
from train.training.data_wait import DataWait

DATA_S, STEP_S, VALIDATION_S = 3.0, 1.0, 100.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s


class Slow(Dataset[torch.Tensor]):
    def __init__(self, clock: Clock, data_s: float) -> None:
        self.clock, self.data_s = clock, data_s

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> torch.Tensor:
        self.clock.now_s += self.data_s
        return torch.ones(1)


class Model(lightning.LightningModule):
    def __init__(self, clock: Clock, step_s: float) -> None:
        super().__init__()
        self.clock, self.step_s, self.layer = clock, step_s, torch.nn.Linear(1, 1)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        self.clock.now_s += self.step_s
        return self.layer(batch).sum()

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.clock.now_s += VALIDATION_S

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 1e-3)


def fit(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, data_s: float = DATA_S, step_s: float = STEP_S
) -> DataWait:
    clock, wait = Clock(), DataWait()
    monkeypatch.setattr(data_wait, "time", clock)
    trainer = lightning.Trainer(
        default_root_dir=folder, max_epochs=2, accelerator="cpu", callbacks=[wait],
        logger=[CSVLogger(folder, "first"), CSVLogger(folder, "second")], val_check_interval=0.5,
        num_sanity_val_steps=0, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, log_every_n_steps=1,
    )  # fmt: skip
    data = Slow(clock, data_s)
    trainer.fit(Model(clock, step_s), DataLoader(data), DataLoader(Slow(clock, VALIDATION_S)))
    return wait


def test_share_is_what_data_takes_beside_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wait = fit(tmp_path, monkeypatch)
    assert wait.waited_s == 2 * 6 * DATA_S
    assert wait.worked_s == 2 * 6 * STEP_S
    assert capsys.readouterr().err.endswith("waited for data in 75.0% of the training's time\n")


def test_data_that_costs_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fit(tmp_path, monkeypatch, data_s=0.0).share == 0.0


def test_every_logger_has_it_once_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(tmp_path, monkeypatch)
    for logger in ("first", "second"):
        with (tmp_path / logger / "version_0" / "metrics.csv").open(newline="") as file:
            logged = [row["train/data_wait"] for row in csv.DictReader(file) if row["train/data_wait"]]
        assert logged == ["0.75", "0.75"]


def test_a_run_of_the_recipes_says_it(tiny_run: Path) -> None:
    metrics = tiny_run / "csv" / "version_0" / "metrics.csv"  # of fit; test and predict made others
    with metrics.open(newline="") as file:
        shares = [float(row["train/data_wait"]) for row in csv.DictReader(file) if row["train/data_wait"]]
    assert len(shares) == 3
    assert all(0 < share < 1 for share in shares)
