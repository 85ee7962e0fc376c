"""Sweeps: what is run, what is not run again, and the table. Trainings are played by a stand-in."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from runtime.errors import ConfigError, TinysceneError
from tests.conftest import ROOT
from train.cli import sweep
from train.cli.sweep import complete, plan, summarize, to_text
from train.partial_results import PartialResults

FIGURES = ("clip_accuracy", "macro_accuracy", "window_accuracy", "log_loss", "ece")


class Trainer:
    """Leaves the files that training and testing leave; the score is the seed's."""

    def __init__(self, fails: str = "") -> None:
        self.fails, self.commands = fails, []

    def __call__(self, command: list[str]) -> int:
        self.commands.append(command)
        verb, seed = command[3], next(int(c.split("=")[1]) for c in command if "seed_everything" in c)
        folder = Path(next(c.split("=", 1)[1] for c in command if "default_root_dir" in c))
        if verb == self.fails:
            return 2
        if verb == "fit":
            (folder / "model.pt").touch()
        else:
            values = dict.fromkeys(FIGURES, 0.5 + 0.1 * seed)
            (folder / "test_report.json").write_text(json.dumps(values))
        return 0


def test_every_combination_is_run_with_every_seed(tmp_path):
    runs = plan(["model.lr=1e-3", "--model.lr=2e-3", "data.batch_size=8"], [0, 1], tmp_path)
    assert [run.overrides for run in runs[::2]] == [
        ("model.lr=1e-3", "data.batch_size=8"),
        ("model.lr=2e-3", "data.batch_size=8"),
    ]
    assert [run.seed for run in runs] == [0, 1, 0, 1]
    assert runs[0].folder.name == "model.lr=1e-3+data.batch_size=8+seed=0"
    command = runs[3].command("fit", Path("r.yaml"))
    assert command[2:6] == ["train", "fit", "--config", "r.yaml"]
    assert "--model.lr=2e-3" in command and "--seed_everything=1" in command


def test_finished_runs_are_not_repeated_and_killed_ones_resumed(tmp_path):
    runs, trainer = plan([], [0, 1], tmp_path), Trainer()
    complete(runs[0], Path("r.yaml"), trainer)
    assert [command[3] for command in trainer.commands] == ["fit", "test"]
    complete(runs[0], Path("r.yaml"), trainer)
    assert len(trainer.commands) == 2
    (runs[1].folder / "checkpoints").mkdir(parents=True)
    (runs[1].folder / "checkpoints" / "last.ckpt").touch()
    complete(runs[1], Path("r.yaml"), trainer)
    assert ["--ckpt_path=last" in command for command in trainer.commands] == [False, False, True, False]


def test_the_table_has_mean_and_deviation(tmp_path):
    runs = plan(["model.lr=1", "model.lr=2"], [0, 1, 2], tmp_path)
    for run in runs:
        complete(run, Path("r.yaml"), Trainer())
    rows = summarize(runs)
    assert [row[:2] for row in rows] == [("model.lr=1", 3), ("model.lr=2", 3)]
    assert rows[0][2:4] == pytest.approx((0.6, 0.1))
    assert to_text(FIGURES, rows).splitlines()[1].startswith("model.lr=1  3     0.600 ± 0.100")
    assert "nan" in to_text(FIGURES, summarize(runs[:1]))
    assert sweep.metrics(runs) == list(FIGURES)


def test_the_metrics_are_those_of_the_task(tmp_path):
    run = plan([], [0], tmp_path)[0]
    run.folder.mkdir()
    values = {"labels": ["a"], "clips": 3, "mean_average_precision": 0.5, "auc": None, "log_loss": 0.25}
    run.report.write_text(json.dumps(values))
    assert sweep.metrics([run]) == ["mean_average_precision", "log_loss"]
    assert summarize([run])[0][2] == 0.5


def test_a_metric_that_one_run_lacks_has_no_mean(tmp_path):
    runs = plan([], [0, 1], tmp_path)
    for run, auc in zip(runs, (0.9, None), strict=True):
        run.folder.mkdir()
        run.report.write_text(json.dumps({"mean_average_precision": 0.5, "auc": auc}))
    assert summarize(runs)[0][2:4] == (0.5, 0.0)
    assert all(map(math.isnan, summarize(runs)[0][4:]))


def test_the_plot_shows_the_swept_number_and_a_line_for_each_of_the_others(tmp_path):
    overrides = [f"model.distillation.temperature={t}" for t in (4, 1)]
    overrides += [f"model.distillation.label_weight={w}" for w in (0.02, 0.5)]
    runs = plan(overrides, [0, 1], tmp_path)
    for run in runs:
        complete(run, Path("r.yaml"), Trainer())
    key, lines = sweep.curves(runs)
    assert key == "model.distillation.temperature"
    assert sorted(lines) == ["label_weight 0.02", "label_weight 0.5"]
    assert [x for x, _, _ in lines["label_weight 0.5"]] == [1, 4]
    sweep.plot(tmp_path / "sweep.png", FIGURES[0], key, lines)
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert sweep.curves(plan(["model.student=cp_mobile"], [0], tmp_path)) is None


def test_a_run_that_fails_stops_the_sweep(tmp_path):
    with pytest.raises(TinysceneError, match="stopped in `test` with code 2"):
        complete(plan([], [0], tmp_path)[0], Path("r.yaml"), Trainer(fails="test"))


RECIPE = """
model:
  arguments: {base_channels: 8, channels_multiplier: 1.0, expansion_rate: 1.0, n_blocks: [1]}
data:
  corpus:
    class_path: train.data.Synthetic
    init_args: {train_clips: 40, val_clips: 10, test_clips: 20}
  batch_size: 20
trainer: {max_epochs: 1, accelerator: cpu, enable_progress_bar: false}
"""


@pytest.mark.slow
def test_a_sweep_of_real_trainings(tmp_path, run_room):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    command = ["train", "sweep", "--config", tmp_path / "recipe.yaml", "--seeds", "0", "1"]
    command += ["--override", "model.lr=0.01", "-o", tmp_path / "runs"]
    done = run_room(*command, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    reports = [tmp_path / "runs" / f"model.lr=0.01+seed={seed}" / "test_report.json" for seed in (0, 1)]
    accuracies = [json.loads(report.read_text())["clip_accuracy"] for report in reports]
    rows = list(csv.DictReader((tmp_path / "runs" / "sweep.csv").open()))
    assert [row["runs"] for row in rows] == ["2"]
    assert float(rows[0]["clip_accuracy mean"]) == pytest.approx(sum(accuracies) / 2)
    times = [report.stat().st_mtime_ns for report in reports]
    reports[1].unlink()
    again = run_room(*command, cwd=ROOT)
    assert again.stdout == done.stdout  # the same table
    assert reports[0].stat().st_mtime_ns == times[0] and reports[1].stat().st_mtime_ns > times[1]


def test_what_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        plan(["model.lr"], [0], tmp_path)
    with pytest.raises(ConfigError, match="twice"):
        plan([], [0, 0], tmp_path)
    with pytest.raises(ConfigError, match="no recipe"):
        sweep.main(["--config", str(tmp_path / "r.yaml"), "-o", str(tmp_path / "out")])
    for text in ("a: 1", "a: 2"):
        (tmp_path / "r.yaml").write_text(text)
        if text == "a: 1":
            sweep._claim(tmp_path / "out", tmp_path / "r.yaml")
    with pytest.raises(ConfigError, match="another recipe"):
        sweep._claim(tmp_path / "out", tmp_path / "r.yaml")


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "r.yaml").write_text("a: 1")
    with pytest.raises(ConfigError, match=r"Cannot make the folder .*: name another --output\."):
        sweep._claim(tmp_path / "r.yaml" / "out", tmp_path / "r.yaml")
    with pytest.raises(ConfigError, match="name another --output"):
        PartialResults(tmp_path / "r.yaml" / "logits.h5", "key", 1)


def test_partial_results_of_any_name_are_cleared(tmp_path):
    parts = PartialResults(tmp_path / "logits[1].h5", "key", 1)
    parts.paths[0].touch()
    parts.clear()
    assert not list(tmp_path.iterdir())
