"""CP-ResNet as CP-JKU published it: a ResNet with 1x1 kernels, which limit its receptive field.

Koutini et al., "Receptive field regularization techniques for audio classification and tagging with deep
convolutional neural networks", 2021; Schmid et al., "CP-JKU submission to DCASE23", 2023, which takes it as
one of its teachers. Names of modules follow that release (cpjku_dcase23, ``cpr_128k_*.pt``).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from train.students.shapes import Shapes


class Shortcut(nn.Module):
    """A 1x1 convolution and batch norm, where the width changes."""

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, mels, frames] -> [batch, out_channels, mels, frames]."""
        result: Tensor = self.bn(self.conv(x))
        return result


class ResidualBlock(nn.Module):
    """Two convolutions with a shortcut around them; kernels are 3x3 or 1x1."""

    def __init__(
        self, in_channels: int, out_channels: int, kernels: tuple[int, int], groups: int = 1
    ) -> None:
        super().__init__()
        first, second = kernels
        self.conv1 = nn.Conv2d(
            in_channels, out_channels, first, padding=first // 3, groups=groups, bias=False
        )
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(
            out_channels, out_channels, second, padding=second // 3, groups=groups, bias=False
        )
        self.bn2 = nn.BatchNorm2d(out_channels)
        widens = in_channels != out_channels
        self.shortcut = Shortcut(in_channels, out_channels, groups) if widens else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, mels, frames] -> [batch, out_channels, mels, frames]."""
        inner = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class CPResNet(nn.Module):
    """The teacher: 127,684 parameters and 28,840,396 MACs a second with ``cp_mel_hop750`` (256 x 43).

    Args:
        n_classes: number of labels.
        base_channels: width of the first stage; the second has twice as many.
        last_channels: width of the third stage.
    """

    frontend: ClassVar[str] = "cp_mel_hop750"
    layers: ClassVar[tuple[str, ...]] = ("stage1.*", "stage2.*", "stage3.*", "feed_forward")
    published_by: ClassVar[str] = "CP-JKU's DCASE 2023 submission (cpjku_dcase23, without a licence)"

    def __init__(self, n_classes: int = 10, base_channels: int = 32, last_channels: int = 92) -> None:
        super().__init__()
        width = base_channels
        self.in_c = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.stage1 = nn.Sequential()
        self.stage1.add_module("maxpool0_0", nn.MaxPool2d(2))
        self.stage1.add_module("block1", ResidualBlock(width, width, (3, 1)))
        self.stage1.add_module("maxpool1_1", nn.MaxPool2d((2, 1)))
        self.stage1.add_module("block2", ResidualBlock(width, width, (3, 3)))
        self.stage1.add_module("maxpool2_2", nn.MaxPool2d((2, 1)))
        self.stage2 = nn.Sequential()
        self.stage2.add_module("block1", ResidualBlock(width, 2 * width, (3, 3), groups=2))
        self.stage3 = nn.Sequential()
        self.stage3.add_module("block1", ResidualBlock(2 * width, last_channels, (3, 1)))
        self.feed_forward = nn.Sequential(
            nn.Conv2d(last_channels, n_classes, 1, bias=False),
            nn.BatchNorm2d(n_classes),
            nn.AdaptiveAvgPool2d((1, 1)),
        )

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, mels, frames] -> logits [batch, classes]."""
        maps = self.stage3(self.stage2(self.stage1(self.in_c(log_mel))))
        logits: Tensor = self.feed_forward(maps)
        return logits.flatten(1)

    @classmethod
    def infer_arguments(cls, shapes: Shapes) -> dict[str, Any] | None:
        """The arguments that give weights of these shapes; None where no arguments do."""
        stem, head = (shapes.get(key, ()) for key in ("in_c.0.weight", "feed_forward.0.weight"))
        if len(stem) != 4 or len(head) != 4:
            return None
        return {"n_classes": head[0], "base_channels": stem[0], "last_channels": head[1]}
