"""A narrow ResNet after CP-ResNet: 1x1 kernels in its later blocks limit its receptive field.

Koutini et al., "Receptive field regularization techniques for audio classification and tagging with deep
convolutional neural networks", 2021. CP-JKU's DCASE submissions have a CP-ResNet as
one of their teachers (`cp_resnet.py`); this is another network, which a CPU can train on a small corpus.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from train.students.cp_mobile import conv_norm
from train.students.shapes import Shapes


class ResidualBlock(nn.Module):
    """A 3x3 convolution and one of ``kernel_size``, with a shortcut: 1x1 where shapes differ."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: tuple[int, int] = (1, 1), kernel_size: int = 3
    ) -> None:
        super().__init__()
        self.block = nn.Sequential(
            conv_norm(in_channels, out_channels, 3, stride=stride),
            conv_norm(out_channels, out_channels, kernel_size, activation=False),
        )
        same = in_channels == out_channels and stride == (1, 1)
        self.shortcut = (
            nn.Identity() if same else conv_norm(in_channels, out_channels, stride=stride, activation=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, mels, frames] -> [batch, out_channels, mels', frames']."""
        return torch.relu(self.block(x) + self.shortcut(x))


class NarrowResNet(nn.Module):
    """The teacher. Defaults have 515,252 parameters and train about as fast on a CPU as CP-Mobile.

    Args:
        n_classes: number of labels.
        base_channels: width of the first stage; the second has twice and the third four times as many.
    """

    layers: ClassVar[tuple[str, ...]] = ("stages.*", "feed_forward")

    def __init__(self, n_classes: int = 10, base_channels: int = 32) -> None:
        super().__init__()
        width = base_channels
        self.stem = conv_norm(1, width, 5, stride=2)
        self.stages = nn.Sequential(
            ResidualBlock(width, width, (2, 2)),
            ResidualBlock(width, 2 * width, (2, 1)),
            ResidualBlock(2 * width, 2 * width, kernel_size=1),
            ResidualBlock(2 * width, 4 * width, (2, 2)),
            ResidualBlock(4 * width, 4 * width, kernel_size=1),
        )
        self.feed_forward = nn.Sequential(
            nn.Conv2d(4 * width, n_classes, 1, bias=False),
            nn.BatchNorm2d(n_classes),
            nn.AdaptiveAvgPool2d((1, 1)),
        )

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, mels, frames] -> logits [batch, classes]."""
        logits: Tensor = self.feed_forward(self.stages(self.stem(log_mel)))
        return logits.flatten(1)

    @classmethod
    def infer_arguments(cls, shapes: Shapes) -> dict[str, Any] | None:
        """The arguments that give weights of these shapes; None where no arguments do."""
        stem, head = (shapes.get(key, ()) for key in ("stem.0.weight", "feed_forward.0.weight"))
        if len(stem) != 4 or len(head) != 4:
            return None
        return {"n_classes": head[0], "base_channels": stem[0]}
