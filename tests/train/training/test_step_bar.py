"""The time that is left, by the steps so far."""

from __future__ import annotations

from types import SimpleNamespace

from train.training import step_bar
from train.training.step_bar import StepBar


def test_the_estimate_is_made_of_measured_steps(monkeypatch, capsys):
    clock = iter(range(1_000))
    monkeypatch.setattr(step_bar.time, "perf_counter", lambda: float(next(clock)))  # a second a step
    trainer = SimpleNamespace(
        is_global_zero=True, estimated_stepping_batches=150, global_step=0, callback_metrics={}
    )
    bar = StepBar()
    bar.on_train_start(trainer, None)
    for step in range(1, 151):
        trainer.global_step = step
        bar.on_train_batch_end(trainer)
    bar.on_train_end(trainer, None)
    assert capsys.readouterr().err.count("120 steps of 1.00 s, as measured, are about 2 minutes") == 1


def test_other_processes_show_nothing(capsys):
    bar = StepBar()
    bar.on_train_start(SimpleNamespace(is_global_zero=False), None)
    for _ in range(100):
        bar.on_train_batch_end(None)
    assert not capsys.readouterr().err
