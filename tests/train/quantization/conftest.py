"""A small student that was really trained, and its calibration, made once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.small_students import ShuffleNet, make_windows, train_checkpoint, train_shuffle_net
from train.checkpoints.model_pt import Checkpoint
from train.networks import NETWORKS
from train.quantization.ptq import Calibration, calibrate

Windows = Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]


@pytest.fixture(scope="session")
def windows() -> Windows:
    return make_windows


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    return train_checkpoint()


@pytest.fixture(scope="session")
def calibration(checkpoint: Checkpoint) -> Calibration:
    return calibrate(checkpoint.build(), checkpoint.calibration)


@pytest.fixture
def shuffle_net(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    monkeypatch.setitem(NETWORKS, "shuffle_net", ShuffleNet)
    return train_shuffle_net(checkpoint)
