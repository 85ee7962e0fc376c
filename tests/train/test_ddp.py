"""Two processes do what one would: the same windows, gradients, scores and files."""

from __future__ import annotations

import json

import pytest
import torch

from tests.conftest import ROOT
from tests.train.conftest import TINY
from train.data import ClipData, Synthetic
from train.data.module import EpochBatches

TWO = ["--trainer.devices=2", "--trainer.strategy=ddp"]


def test_shards_do_not_overlap_and_follow_the_epoch():
    data = ClipData(Synthetic(train_clips=21, val_clips=11, test_clips=10, seconds=0.1), sample_rate=8_000)
    data.setup("fit")
    dataset = data.datasets["train"]
    for epoch in (0, 1):
        shards = [EpochBatches(dataset, 5, rank, 2) for rank in (0, 1)]
        for shard in shards:
            shard.set_epoch(epoch)
        first, second = (list(shard) for shard in shards)
        whole = list(EpochBatches(dataset, 5))
        assert len(first) == len(second) == 2
        assert [batch for pair in zip(first, second, strict=True) for batch in pair] == whole
        assert len({index for batch in whole for index in batch}) == 20


@pytest.mark.slow
def test_two_processes_equal_one(run_room, tmp_path):
    keep = "--trainer.callbacks+=tests.train.gradients.KeepGradients"
    plain = ["--model.augmentation=null", "--data.jitter=false", keep]
    for name, more in (("one", ["--data.batch_size=20"]), ("two", ["--data.batch_size=10", *TWO])):
        root = f"--trainer.default_root_dir={tmp_path / name}"
        done = run_room("train", "fit", *TINY, *plain, *more, root, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("parameters,") == 1 and done.stderr.count("wrote ") == 1
    one, two = (torch.load(tmp_path / name / "gradients.pt") for name in ("one", "two"))
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], gradient, rtol=1e-4, atol=1e-4)
    assert len(list((tmp_path / "two" / "csv").rglob("metrics.csv"))) == 1

    root = f"--trainer.default_root_dir={tmp_path / 'two'}"
    reports = []
    for more in ([], TWO):
        for verb in ("test", "predict"):
            done = run_room("train", verb, *TINY, *more, root, cwd=ROOT)
            assert done.returncode == 0, done.stderr
        report = json.loads((tmp_path / "two" / "test_report.json").read_text())
        reports.append((report, (tmp_path / "two" / "output.csv").read_text()))
    assert reports[0][0]["clips"] == 20
    for key, value in reports[0][0].items():
        assert reports[1][0][key] == (pytest.approx(value) if isinstance(value, float) else value)
    assert reports[0][1] == reports[1][1]
