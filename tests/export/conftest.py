"""A small student that was really trained, its model.pt and its exported files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.small_students import make_windows, train_checkpoint
from train.checkpoints.model_pt import Checkpoint, save


@pytest.fixture(scope="session")
def windows() -> Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]:
    return make_windows


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    return train_checkpoint()


@pytest.fixture(scope="session")
def model_pt(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    save(checkpoint, path)
    return path


@pytest.fixture(scope="session")
def int8_onnx(model_pt: Path) -> Path:
    from export.cli.main import main

    assert main(["onnx", str(model_pt)]) == 0
    return model_pt.with_suffix(".onnx")


@pytest.fixture(scope="session")
def float_onnx(model_pt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from export.cli.main import main

    path = tmp_path_factory.mktemp("float") / "model.onnx"
    assert main(["onnx", str(model_pt), "-o", str(path), "--quantize", "none"]) == 0
    return path
