"""Two processes equal one: the same windows, gradients, scores and files."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT
from tests.train.conftest import TINY
from train.checkpoints import model_pt
from train.data import ClipData, Synthetic
from train.data.batch_sampler import EpochBatches

TWO = ["--trainer.devices=2", "--trainer.strategy=ddp"]


def test_shards_do_not_overlap_and_follow_the_epoch():
    data = ClipData(Synthetic(train_clips=21, val_clips=11, test_clips=10, seconds=0.1), sample_rate=8_000)
    data.setup("fit")
    dataset = data.datasets["train"]
    for epoch in (0, 1):
        samplers = [EpochBatches(dataset, 5, rank, 2) for rank in (0, 1)] + [EpochBatches(dataset, 5)]
        for sampler in samplers:
            sampler.set_epoch(epoch)
        first, second, whole = (list(sampler) for sampler in samplers)
        assert len(first) == len(second) == 2
        assert [batch for pair in zip(first, second, strict=True) for batch in pair] == whole
        assert {batch.epoch for batch in whole} == {epoch}
        assert len({index for batch in whole for index in batch.windows}) == 20


def fit_on_two_nodes(*arguments: str) -> list[str]:
    """``fit`` as two nodes of one process each, both on this machine; returns the stderr of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    launch += ["--master-addr=127.0.0.1", f"--master-port={port}"]
    ours = ["-m", "train", "fit", *arguments, "--trainer.num_nodes=2", "--trainer.strategy=ddp"]
    nodes = [
        subprocess.Popen([*launch, f"--node-rank={rank}", *ours], stderr=subprocess.PIPE, text=True, cwd=ROOT)
        for rank in (0, 1)
    ]
    stderr = [node.communicate(timeout=300)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], stderr
    return stderr


@pytest.mark.slow
def test_two_processes_or_nodes_equal_one(run_room, tmp_path):
    record = "--trainer.callbacks+=tests.train.training.gradients.RecordGradients"
    plain = [*TINY, "--model.augmentation=null", "--data.jitter=false", record]
    roots = {name: f"--trainer.default_root_dir={tmp_path / name}" for name in ("one", "two", "nodes")}
    for name, more in (("one", ["--data.batch_size=20"]), ("two", ["--data.batch_size=10", *TWO])):
        done = run_room("train", "fit", *plain, *more, roots[name], cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("parameters,") == 1 and done.stderr.count("wrote ") == 1
    stderr = fit_on_two_nodes(*plain, "--data.batch_size=10", roots["nodes"])
    assert ["wrote " in each for each in stderr] == [True, False]
    one, *others = (torch.load(tmp_path / name / "gradients.pt") for name in roots)
    for name, gradient in one.items():
        for other in others:
            torch.testing.assert_close(other[name], gradient, rtol=1e-4, atol=1e-4)
    for name in ("two", "nodes"):
        assert len(list((tmp_path / name / "csv").rglob("metrics.csv"))) == 1
    two, nodes = (model_pt.load(tmp_path / name / "model.pt").state_dict for name in ("two", "nodes"))
    for name, tensor in two.items():
        torch.testing.assert_close(nodes[name], tensor, rtol=0, atol=1e-6)

    reports = []
    for more in ([], TWO):
        for verb in ("test", "predict"):
            done = run_room("train", verb, *TINY, *more, roots["two"], cwd=ROOT)
            assert done.returncode == 0, done.stderr
        report = json.loads((tmp_path / "two" / "test_report.json").read_text())
        reports.append((report, (tmp_path / "two" / "output.csv").read_text()))
    assert reports[0][0]["clips"] == 20
    for key, value in reports[0][0].items():
        assert reports[1][0][key] == (pytest.approx(value) if isinstance(value, float) else value)
    assert reports[0][1] == reports[1][1]
