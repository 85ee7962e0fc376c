"""A small student that was really trained, and its model.pt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from runtime.spec import FrontEndSpec
from train.checkpoints.model_pt import Checkpoint, save
from train.students import CPMobile

FRONTEND = FrontEndSpec(
    sample_rate=8000, n_fft=512, win_length=512, hop_length=250,
    window="hann", window_periodic=True, center=True, pad_mode="reflect",
    preemphasis=0.97, power=2.0, n_mels=32, f_min=0.0, f_max=4000.0, mel_scale="htk",
    mel_norm="none", log_offset=1e-5, mean=-4.5, std=5.0,
)  # fmt: skip
LABELS = ("low", "middle", "high")
SHAPE = (1, 1, 32, 32)
ARGUMENTS = {"n_classes": 3, "base_channels": 16, "channels_multiplier": 1.5, "expansion_rate": 2}


def make_windows(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with one loud band, whose height is the class."""
    generator = torch.Generator().manual_seed(seed)
    x = 0.3 * torch.randn(count, *SHAPE[1:], generator=generator) - 0.5
    targets = torch.arange(count) % 3
    for row, target in zip(x, targets, strict=True):
        row[0, 10 * target : 10 * target + 10] += 1.0
    return x, targets


@pytest.fixture(scope="session")
def windows() -> Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]:
    return make_windows


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    network = CPMobile(**ARGUMENTS)
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.constant_(parameter, 0.3)  # so that GRN does something
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for step in range(80):
        x, targets = make_windows(24, step)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x), targets).backward()
        optimizer.step()
    x, targets = make_windows(48, 1000)
    return Checkpoint(
        student="cp_mobile",
        arguments=ARGUMENTS,
        frontend=FRONTEND,
        labels=LABELS,
        state_dict=network.state_dict(),
        temperature=1.5,
        thresholds={"low": 0.7},
        provenance={"recipe": "a test"},
        calibration=x.half(),
        calibration_targets=targets,
        calibration_ids=tuple(f"window {i}" for i in range(len(x))),
    )


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
