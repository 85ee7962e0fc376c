"""The accuracy benchmark: recipes of its cells, one tiny training, means, intervals and what is missing."""

from __future__ import annotations

import fcntl
import json
from dataclasses import replace

import pytest

import complexity
from benchmarks.accuracy import command, measurement, plan, summary
from benchmarks.report import tables
from benchmarks.result_files import read_result
from runtime.errors import TinysceneError
from runtime.spec import FrontEndSpec
from train.networks import NETWORKS

TINY = plan.Schedule(steps=2, qat_epochs=1)


def make_cell(**changed):
    accuracy = {form: {"clips": 0.5, "windows": 0.25} for form in summary.FORMS}
    return {
        "corpus": "esc10", "student": "cnn3", "split": "fold 1", "seed": 0, "steps": 100, "qat_steps": 30,
        "int8_bytes": 60_000, "params": 46_118, "accuracy": accuracy, "lacking": {}, **changed,
    }  # fmt: skip


@pytest.mark.parametrize("name", plan.STUDENTS)
def test_every_student_is_within_the_limits(name):
    student = plan.STUDENTS[name]
    frontend = FrontEndSpec.preset(getattr(NETWORKS[student.network], "frontend", "cp_mel"))
    network = NETWORKS[student.network](**student.arguments)
    shape = (1, 1, frontend.n_mels, frontend.frames(frontend.sample_rate))
    assert complexity.measure(network, shape, budget=complexity.Budget.named("dcase2024")).within


def test_no_cell_trains_on_its_test_fold_and_none_reads_fold_5(tmp_path):
    folds = set()
    for cell in plan.cells(["esc10"], list(plan.STUDENTS), plan.SEEDS):
        arguments = cell.recipe(TINY, tmp_path)["data"]["corpus"]["init_args"]
        (tested,) = arguments["test_folds"]
        assert {tested, *arguments["train_folds"]} == {1, 2, 3, 4} and len(arguments["train_folds"]) == 3
        assert arguments["val_folds"] == []
        folds.add(tested)
    assert folds == {1, 2, 3, 4}


def test_a_recipe_differs_from_that_of_the_corpus_in_network_seed_and_steps_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("FSDD_DIR", str(tmp_path))
    first, other = (plan.Cell("fsdd", name, "unseen speaker", 2) for name in ("cp_mobile", "tf_sepnet"))
    recipe, changed = first.recipe(TINY, tmp_path), other.recipe(TINY, tmp_path)
    assert recipe["seed_everything"] == 2 and recipe["trainer"]["max_steps"] == 2
    assert changed["model"]["frontend"] == "cp_mel_512" and recipe["model"]["arguments"] == {}
    for key in ("student", "arguments", "frontend"):
        del recipe["model"][key], changed["model"][key]
    assert recipe == changed


@pytest.mark.slow
def test_a_cell_is_trained_scored_in_four_forms_and_never_twice(tmp_path, monkeypatch, capsys):
    scenes = replace(plan.CORPORA["synthetic"], splits={
        "unseen devices": {"train_clips": 64, "val_clips": 10, "test_clips": 50},
    })  # fmt: skip
    monkeypatch.setattr(plan, "CORPORA", {**plan.CORPORA, "synthetic": scenes})
    runs = tmp_path / "runs"
    cell = plan.Cell("synthetic", "cp_mobile_narrow", "unseen devices", 0)
    found = measurement.measure_cell(cell, TINY, runs)
    assert set(found["accuracy"]) == set(summary.FORMS) and found["lacking"] == {}
    assert (found["steps"], found["qat_steps"], found["clips"]) == (2, 2, 50)
    assert found["accuracy"]["C"] == found["accuracy"]["PTQ INT8"]  # the same integers
    monkeypatch.setattr(measurement, "_train", None)  # a finished cell is read
    assert measurement.measure_cell(cell, TINY, runs) == found == measurement.read_cells(runs)[0]

    output = tmp_path / "accuracy.json"
    arguments = ["--corpora", "synthetic", "--students", "cp_mobile_narrow", "--seeds", "0"]
    arguments += ["--steps", "2", "--qat-epochs", "1"]
    assert command.main([*arguments, "--runs", str(runs), "-o", str(output)]) == 0
    assert "cell 1 of 1" in capsys.readouterr().err
    rows = json.loads(output.read_text())["rows"]
    assert any(row["steps"] == 2 for row in rows if "steps" in row)
    assert any(row["model"] == "packaged model" for row in rows)


def test_a_cell_that_fails_is_named_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    def fail_once(cell, schedule, runs):
        if cell.student == "cnn3":
            raise TinysceneError("no memory: free some")
        return make_cell()

    monkeypatch.setattr(command, "measure_cell", fail_once)
    arguments = ["--corpora", "synthetic", "--students", "cnn3", "cp_mobile", "--seeds", "0"]
    code = command.main([*arguments, "--runs", str(tmp_path), "-o", str(tmp_path / "a.json")])
    printed = capsys.readouterr().err
    assert code != 0 and "no memory: free some" in printed and "cell 2 of 2" in printed


def test_a_cell_that_another_process_measures_is_left_to_it(tmp_path, capsys):
    cell = plan.Cell("synthetic", "cp_mobile_narrow", "unseen devices", 0)
    folder = cell.folder(tmp_path, TINY)
    folder.mkdir(parents=True)
    arguments = ["--corpora", "synthetic", "--students", "cp_mobile_narrow", "--seeds", "0"]
    arguments += ["--steps", str(TINY.steps), "--qat-epochs", str(TINY.qat_epochs), "--runs", str(tmp_path)]
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert measurement.measure_cell(cell, TINY, tmp_path) is None
        assert command.main([*arguments, "-o", str(tmp_path / "a.json")]) == 0
    assert "another process measures it" in capsys.readouterr().err


def test_a_corpus_without_its_folder_is_left_out_and_named(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("ESC10_DIR", raising=False)
    output = tmp_path / "accuracy.json"
    assert command.main(["--corpora", "esc10", "--runs", str(tmp_path), "-o", str(output)]) == 0
    assert "set ESC10_DIR" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--steps", "0"], ["--seeds", "-1"], ["--students", "cp_mobil"]])
def test_wrong_options_are_named_in_one_line(wrong, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(wrong)
    assert stopped.value.code == 2 and "error: argument" in capsys.readouterr().err


def rows_of(shares, corpus):
    """Rows of cells with these shares of clips, by split and seed."""
    return summary.rows_of_cells(summary.merged([
        make_cell(
            corpus=corpus, split=split, seed=seed, accuracy={"FP32": {"clips": share, "windows": 0.5}}
        )
        for (split, seed), share in shares.items()
    ]))  # fmt: skip


def test_intervals_are_over_folds_of_which_each_is_the_mean_of_its_seeds():
    shares = {("fold 1", 0): 0.4, ("fold 1", 1): 0.5, ("fold 2", 0): 0.6, ("fold 2", 1): 0.7,
              ("fold 3", 0): 0.85}  # fmt: skip
    clips, windows = rows_of(shares, "esc10")
    assert clips["folds"] == {"fold 1": 0.45, "fold 2": 0.65, "fold 3": 0.85} and clips["mean"] == 0.65
    assert (clips["cells"], clips["seeds"], clips["interval_over"]) == (5, 2, "3 folds")
    # Student's t with 2 degrees of freedom, 4.3027, by the standard error of the folds
    assert clips["half_width"] == pytest.approx(4.3027 * 0.2 / 3**0.5, abs=1e-4)
    assert windows["half_width"] == 0 and summary.half_width([0.5]) is None
    two_folds = rows_of({key: share for key, share in shares.items() if key[0] != "fold 3"}, "esc10")
    assert two_folds[0]["half_width"] is None and two_folds[0]["interval_over"] is None


def test_the_interval_of_one_split_is_over_its_seeds():
    clips, _ = rows_of({("unseen speaker", seed): 0.4 + 0.1 * seed for seed in range(3)}, "fsdd")
    assert (clips["mean"], clips["interval_over"]) == (0.5, "3 seeds")
    assert clips["half_width"] == pytest.approx(4.3027 * 0.1 / 3**0.5, abs=1e-4)
    assert "| 3 seeds |" in tables.accuracy({"rows": [clips], "not_run": []})


def test_what_has_no_cell_is_named():
    nothing = summary.not_run([])
    assert "synthetic scenes, all students: seeds 0, 1, 2" in nothing
    some = summary.not_run([make_cell(), make_cell(seed=1, lacking={"C": "no such operator."})])
    assert "trainings of 1,000 steps, the command's default: 2 cells are of fewer" in some
    assert (
        "ESC-10, cnn3: seed 2 and fold 2, fold 3, fold 4 of seed 0 and fold 2, fold 3, fold 4 of seed 1"
        in some
    )
    assert "C of cnn3 (no such operator)" in some
    every = [
        make_cell(corpus=c.corpus, student=c.student, split=c.split, seed=c.seed, steps=1000)
        for c in plan.cells(list(plan.CORPORA), list(plan.STUDENTS), plan.SEEDS)
    ]
    assert summary.not_run(every) == []


def test_a_cell_that_was_measured_again_replaces_the_first_and_other_lengths_stay():
    first, again, longer = make_cell(), make_cell(params=1), make_cell(steps=200)
    assert summary.merged([first, longer], [again]) == [again, longer]
    assert summary.merged([make_cell(student="removed")]) == []


def test_the_results_file_is_made_of_its_cells_and_the_table_shows_them():
    values = read_result("accuracy")
    assert values["rows"] == summary.rows_of_cells(values["cells"]) + summary.collected_rows()
    assert values["not_run"] == summary.not_run(values["cells"])
    assert {row["numbers"] for row in values["rows"]} >= {"FP32", "PTQ INT8"}
    for row in values["rows"]:
        assert row["mean"] == pytest.approx(sum(row["folds"].values()) / len(row["folds"]), abs=1e-4)
    assert all(sentence in tables.accuracy(values) for sentence in values["not_run"])
