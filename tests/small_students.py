"""Small students that were really trained, for the tests of quantization and export."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from runtime.spec import FrontEndSpec
from train.checkpoints.model_pt import Checkpoint
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


def train_checkpoint() -> Checkpoint:
    """A CP-Mobile with GRN, and 48 calibration windows."""
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


def random_weights(checkpoint: Checkpoint) -> Checkpoint:
    """An untrained student with a few large weights, so that INT8 flips labels.

    The labels of its verification windows are its own, so that each label that flips is accuracy lost.
    """
    torch.manual_seed(1)
    network = CPMobile(**checkpoint.arguments)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter *= 1 + 3 * torch.randn(parameter.shape)
        network.train()(checkpoint.calibration.float())
        x, _ = make_windows(96, 2000)
        own = network.eval()(x).argmax(1)
    return replace(
        checkpoint,
        state_dict=network.state_dict(),
        verification=x.half(),
        verification_targets=torch.nn.functional.one_hot(own, len(checkpoint.labels)).to(torch.uint8),
    )


class ShuffleNet(nn.Module):
    """Two branches over halves of shuffled channels (ShuffleNet V2, Ma et al., ECCV 2018), and a shortcut."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(1, 16, (3, 3)), nn.MaxPool2d(2))
        self.along_mels = _conv(8, 8, (3, 1), groups=8)
        self.along_frames = _conv(8, 8, (1, 3), groups=8)
        self.head = nn.Sequential(nn.Conv2d(16, n_classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, log_mel: Tensor) -> Tensor:
        x = self.stem(log_mel)
        batch, channels, mels, frames = x.shape
        x = x.reshape(batch, 2, channels // 2, mels, frames).transpose(1, 2).reshape(x.shape)
        left, right = x.chunk(2, dim=1)
        return self.head(torch.cat([self.along_mels(left), self.along_frames(right)], dim=1) + x)


def _conv(inputs: int, outputs: int, kernel: tuple[int, int], groups: int = 1) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2)
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def train_shuffle_net(checkpoint: Checkpoint) -> Checkpoint:
    """A `ShuffleNet` trained on the calibration windows of another checkpoint."""
    torch.manual_seed(0)
    network, x = ShuffleNet(3), checkpoint.calibration.float()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), checkpoint.calibration_targets).backward()
        optimizer.step()
    return replace(
        checkpoint, student="shuffle_net", arguments={"n_classes": 3}, state_dict=network.state_dict()
    )
