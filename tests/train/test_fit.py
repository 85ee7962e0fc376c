"""``python -m train``: a whole run, its files, its resumption and its refusals."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import sys

import lightning
import numpy as np
import pytest
import torch

from runtime.errors import ConfigError, TinysceneError
from tests.conftest import ROOT
from tests.train.conftest import TINY
from train.checkpoints import model_pt
from train.checkpoints.resume import last_checkpoint
from train.cli import render
from train.cli.main import main
from train.training.lightning_module import Classifier
from train.training.whole_checkpoints import WholeCheckpoints


def test_a_run_leaves_a_model_and_its_report(tiny_run):
    model = model_pt.load(tiny_run / "model.pt")
    assert len(model.labels) == 10
    assert model.calibration.shape == (40, 1, 256, 64) and len(model.calibration_ids) == 40
    assert model.provenance["data"]["corpus"] == "synthetic scenes"
    assert "best of val/accuracy" in model.provenance["checkpoint"]
    assert 0.1 <= model.temperature <= 10 and model.temperature != 1
    assert str(tiny_run) not in json.dumps(model.provenance)
    report = json.loads((tiny_run / "test_report.json").read_text())
    assert report["clips"] == 20 and set(report["per_device"]) == {"a", "b"}
    assert sum(map(sum, report["confusion"])) == 20
    assert (tiny_run / "test_confusion.png").read_bytes().startswith(b"\x89PNG")
    assert set(report["per_device_group"]) == {"seen"}
    assert "total,ece," in (tiny_run / "test_report.csv").read_text()
    output = (tiny_run / "output.csv").read_text().splitlines()
    assert len(output) == 21 and output[0].split("\t") == ["filename", "scene_label", *model.labels]
    answers = [line.split("\t")[1] for line in output[1:]]
    right = np.mean([answer == model.labels[i % 10] for i, answer in enumerate(answers)])
    assert right == pytest.approx(report["clip_accuracy"])
    metrics = next((tiny_run / "csv").rglob("metrics.csv")).read_text()
    assert "val/class/rain" in metrics and "val/device/a" in metrics
    assert list((tiny_run / "tensorboard").rglob("events.*"))


def test_validate_scores_the_epoch_that_was_chosen(tiny_run, monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)  # the door sets it anew
    assert main(["validate", *TINY, f"--trainer.default_root_dir={tiny_run}"]) == 0
    report = json.loads((tiny_run / "val_report.json").read_text())
    with (tiny_run / "csv" / "version_0" / "metrics.csv").open(newline="") as file:
        logged = [float(row["val/accuracy"]) for row in csv.DictReader(file) if row["val/accuracy"]]
    assert report["clips"] == 10 and report["clip_accuracy"] == pytest.approx(max(logged))


def test_killed_and_resumed_equals_uninterrupted(tiny_run, run_room, tmp_path):
    root = f"--trainer.default_root_dir={tmp_path}"
    kill = ["--trainer.callbacks+=tests.train.kill.KillInEpoch", "--trainer.callbacks.epoch=2"]
    done = run_room("train", "fit", *TINY, root, *kill, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "model.pt").exists()
    done = run_room("train", "fit", *TINY, root, "--ckpt_path=last", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    resumed, whole = (model_pt.load(run / "model.pt") for run in (tmp_path, tiny_run))
    assert resumed.provenance["checkpoint"] == whole.provenance["checkpoint"]
    for name, tensor in whole.state_dict.items():
        torch.testing.assert_close(resumed.state_dict[name], tensor, rtol=0, atol=1e-6)


def test_a_training_that_has_ended_is_not_written_again(tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", sys.argv)  # the door sets it anew
    root = tmp_path / "run"
    shutil.copytree(tiny_run, root)
    before = (root / "model.pt").stat()
    assert main(["fit", *TINY, "--ckpt_path=last", f"--trainer.default_root_dir={root}"]) == 0
    assert "Nothing was left to train" in capsys.readouterr().err
    assert (root / "model.pt").stat() == before and not list(root.glob("model-v*"))
    # another training's checkpoint is not what this folder's model.pt came from
    other = f"--ckpt_path={last_checkpoint(tiny_run)}"
    assert main(["fit", *TINY, other, f"--trainer.default_root_dir={root}"]) == 0
    assert "Nothing was left to train" not in capsys.readouterr().err
    assert (root / "model.pt").stat() != before


class StopAfterEpoch(lightning.Callback):
    """Ends a training after its first epoch, as a kill does, but in this process."""

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            raise SystemExit(9)


class InterruptAfterEpoch(lightning.Callback):
    """Ctrl-C as the second epoch begins."""

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


def test_an_interrupted_training_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", sys.argv)  # the door sets it anew
    callback = "--trainer.callbacks+=tests.train.test_fit.InterruptAfterEpoch"
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            main(["fit", *TINY, callback, f"--trainer.default_root_dir={tmp_path}"])
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores it from then on
    assert f"--ckpt_path=last goes on from {last_checkpoint(tmp_path)}" in capsys.readouterr().err


def test_dropout_is_that_of_an_uninterrupted_run(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)  # the door sets it anew
    recipe = [
        *(word for word in TINY if "arguments" not in word and "epochs" not in word),
        "--model.student=cnn3", "--model.arguments.base_channels=4", "--model.frontend=cnn3_mel",
        "--trainer.max_epochs=2", "--trainer.limit_val_batches=0",
    ]  # fmt: skip
    whole, cut = ([f"--trainer.default_root_dir={tmp_path / name}"] for name in ("whole", "cut"))
    stop = [f"--trainer.callbacks+={StopAfterEpoch.__module__}.{StopAfterEpoch.__name__}"]
    assert main(["fit", *recipe, *whole]) == 0
    with pytest.raises(SystemExit):
        main(["fit", *recipe, *cut, *stop])
    assert main(["fit", *recipe, *cut, "--ckpt_path=last"]) == 0
    one, other = (model_pt.load(tmp_path / name / "model.pt").state_dict for name in ("whole", "cut"))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_averaged_weights_are_resumed_as_well(run_room, tmp_path):
    average = ["--trainer.callbacks+=train.training.weight_averaging.EpochAverage"]
    kill = ["--trainer.callbacks+=tests.train.kill.KillInEpoch", "--trainer.callbacks.epoch=2"]
    whole, cut = (f"--trainer.default_root_dir={tmp_path / name}" for name in ("whole", "cut"))
    for more, code in (([whole], 0), ([cut, *kill], -signal.SIGKILL), ([cut, "--ckpt_path=last"], 0)):
        done = run_room("train", "fit", *TINY, *average, *more, cwd=ROOT)
        assert done.returncode == code, done.stderr
    one, other = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)
        for name in ("whole", "cut")
    )
    assert int(one["averaging_state"]["n_averaged"]) == int(other["averaging_state"]["n_averaged"]) == 3
    for kind in ("state_dict", "current_model_state"):
        for name, tensor in one[kind].items():
            torch.testing.assert_close(other[kind][name], tensor, rtol=0, atol=1e-6)


def test_a_damaged_checkpoint_is_named(run_room, tmp_path):
    last = last_checkpoint(tmp_path)
    last.parent.mkdir()
    last.write_bytes(b"PK cut")
    done = run_room(
        "train", "fit", *TINY, "--ckpt_path=last", f"--trainer.default_root_dir={tmp_path}", cwd=ROOT
    )
    assert done.returncode == 2 and f"{last} is damaged: remove it" in done.stderr


@pytest.fixture(scope="module")
def not_checkpoints(tmp_path_factory, tiny_run):
    """A folder of files that are no checkpoints of a training."""
    folder = tmp_path_factory.mktemp("files")
    torch.save({"a.weight": torch.zeros(2)}, folder / "foreign.ckpt")
    torch.save({"state_dict": {}, "pytorch-lightning_version": "2.0"}, folder / "lightning.ckpt")
    (folder / "model.onnx").write_bytes(b"\x08\x07\x12\x07pytorch")
    whole = last_checkpoint(tiny_run).read_bytes()
    (folder / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.mark.parametrize("verb", ["fit", "test"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.ckpt", "There is no checkpoint"),
        (".", "is a folder"),
        ("model.onnx", "ONNX"),
        ("foreign.ckpt", "is not a checkpoint"),
        ("lightning.ckpt", "is not a checkpoint"),
        ("cut.ckpt", "is damaged"),
        ("best", "checkpoints/best.ckpt"),
    ],
)
def test_what_is_no_checkpoint_is_refused(not_checkpoints, tmp_path, monkeypatch, verb, name, message):
    monkeypatch.setattr(sys, "argv", sys.argv)  # the door sets it anew
    path = name if name == "best" else not_checkpoints / name
    with pytest.raises(TinysceneError, match=message):
        main([verb, *TINY, f"--ckpt_path={path}", f"--trainer.default_root_dir={tmp_path / 'run'}"])


def test_a_score_of_weights_that_nobody_trained_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)  # the door sets it anew
    with pytest.raises(ConfigError, match="There is no checkpoint"):
        main(["test", *TINY, "--ckpt_path=last", f"--trainer.default_root_dir={tmp_path}"])


@pytest.mark.parametrize("verb", ["fit", "test"])
def test_the_checkpoint_of_another_front_end_is_refused(tiny_run, tmp_path, monkeypatch, verb):
    monkeypatch.setattr(sys, "argv", sys.argv)  # the door sets it anew
    other = [f"--ckpt_path={last_checkpoint(tiny_run)}", "--model.frontend=cp_mel_512"]
    with pytest.raises(ConfigError, match=r"model\.frontend.* give the recipe that trained it"):
        main([verb, *TINY, *other, f"--trainer.default_root_dir={tmp_path}"])
    assert not (tmp_path / "model.pt").exists()


def test_a_checkpoint_for_other_labels_or_of_another_training_is_refused():
    values = {}
    theirs = Classifier(labels=("a", "b"))
    theirs.on_save_checkpoint(values)
    with pytest.raises(ConfigError, match="labels a, b, but the data has b, a"):
        Classifier(labels=("b", "a")).on_load_checkpoint({**values, "state_dict": theirs.state_dict()})
    of_qat = {f"qat_network.{name}": tensor for name, tensor in theirs.state_dict().items()}
    with pytest.raises(ConfigError, match="another kind of training"):
        Classifier(labels=("a", "b")).on_load_checkpoint({**values, "state_dict": of_qat})
    Classifier(labels=("a", "b")).on_load_checkpoint({**values, "state_dict": theirs.state_dict()})


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path):
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 1}, path)
    with pytest.raises(AttributeError):  # a local function cannot be pickled
        WholeCheckpoints().save_checkpoint({"epoch": 2, "broken": lambda: None}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model.arguments={base_channels: 64}"], "over the limit"),
        (["--model.arguments={base_chanels: 64}"], "did you mean 'base_channels'"),
        (["--model.frontend=cp_mell"], "cp_mel"),
        (["--data.corpus=train.data.ESC50", "--data.corpus.root=/nowhere"], "meta/esc50.csv"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(run_room, tmp_path, arguments, message):
    corpus = [] if "ESC50" in " ".join(arguments) else ["--data.corpus=train.data.Synthetic"]
    done = run_room("train", "fit", *corpus, *arguments, f"--trainer.default_root_dir={tmp_path}", cwd=ROOT)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "model.pt").exists()


def test_a_second_run_in_a_folder_keeps_the_model_of_the_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", sys.argv)  # the door sets it anew
    run = [*TINY, "--trainer.max_epochs=1", f"--trainer.default_root_dir={tmp_path}"]
    seeds = {}
    for seed in (1, 1, 2):
        assert main(["fit", *run, f"--seed_everything={seed}"]) == 0
        seeds = {path.name: model_pt.load(path).provenance["seed"] for path in tmp_path.glob("*.pt")}
    assert seeds == {"model.pt": 2, "model-v1.pt": 1}
    assert "the one that was there is model-v1.pt now" in capsys.readouterr().err


def test_a_new_run_keeps_the_checkpoint_of_an_interrupted_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", sys.argv)  # the door sets it anew
    last = last_checkpoint(tmp_path)
    last.parent.mkdir()
    last.write_bytes(b"hours of training")
    for _ in range(2):  # the second run finds that of a whole one
        run = [*TINY, "--trainer.max_epochs=1", f"--trainer.default_root_dir={tmp_path}"]
        assert main(["fit", *run]) == 0
    found = {path.name for path in last.parent.glob("last*")}
    assert found == {"last.ckpt", "last-v1.ckpt"}
    assert last.with_name("last-v1.ckpt").read_bytes() == b"hours of training"
    assert capsys.readouterr().err.count(f"--ckpt_path={last.with_name('last-v1.ckpt')}") == 1


def test_over_budget_goes_on_when_told_to(run_room, tmp_path):
    big = "--model.arguments={base_channels: 64, n_blocks: [1], expansion_rate: 12}"
    once = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1"]
    root = f"--trainer.default_root_dir={tmp_path}"
    done = run_room("train", "fit", *TINY, *once, big, "--allow-over-budget", root, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "over the limits" in done.stderr
    assert (tmp_path / "model.pt").is_file()


def test_render_writes_a_file_and_its_time_line(run_room, tmp_path):
    done = run_room("train", "render", "x.wav", "--scenes", "rain,siren", "--seconds", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0.00", "s", "rain", "1.00", "s", "siren"]
    done = run_room("train", "render", "y.wav", "--scenes", "thunder", cwd=tmp_path)
    assert done.returncode == 2 and "No scene is called 'thunder'" in done.stderr
    assert not (tmp_path / "y.wav").exists()


@pytest.mark.parametrize("option", [["--sample-rate", "0"], ["--seconds", "nan"], ["--seed", "-1"]])
def test_render_refuses_numbers_that_make_no_sound(tmp_path, option):
    with pytest.raises(ConfigError, match="give "):
        render.main([str(tmp_path / "x.wav"), *option])
    assert not list(tmp_path.iterdir())
