"""CP-Mobile: inverted residual blocks with factorized convolutions and global response normalization.

Schmid et al., "Distilling the knowledge of transformers and CNNs with CP-Mobile", DCASE 2023; the
DCASE 2024 baseline is the same network without GRN. Module names follow the published checkpoints
(`in_c.*`, `stages.s{n}.b{k}.block.*`, `feed_forward.*`), so those load as they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from runtime.errors import ConfigError
from train.students.shapes import Shapes, first_fitting
from train.suggestions import nearest


def make_divisible(width: float, divisor: int = 8) -> int:
    """Round a width to a multiple of ``divisor``, never below 90 % of it (Sandler et al., MobileNetV2)."""
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded


def conv_norm(
    in_channels: int, out_channels: int, kernel_size: int = 1, *, stride: int | tuple[int, int] = 1,
    groups: int = 1, activation: bool = True,
) -> nn.Sequential:  # fmt: skip
    """Convolution, batch norm and, unless switched off, ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(
            in_channels, out_channels, kernel_size,
            stride=stride, padding=kernel_size // 2, groups=groups, bias=False,
        ),
        nn.BatchNorm2d(out_channels),
    ]  # fmt: skip
    return nn.Sequential(*layers, *([nn.ReLU()] if activation else []))


class GRN(nn.Module):
    """Global response normalization with scalar gamma and beta (Woo et al., ConvNeXt V2, 2023).

    Written as one multiplication per channel, ``x * (1 + gamma * n) + beta``: the statistics
    n = |x|_c / mean|x|, one number per channel, are the only part that INT8 leaves in float.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.beta = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, mels, frames] -> the same shape."""
        # the mean of squares, not their sum: the ratio is the same, and INT8 pools it in integers
        energy = x.square().mean(dim=(2, 3), keepdim=True).sqrt()  # [batch, channels, 1, 1]
        response = energy / (energy.mean(dim=1, keepdim=True) + 1e-6)
        return x * (1 + self.gamma * response) + self.beta


class Block(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1; a shortcut where the width stays the same."""

    def __init__(
        self, in_channels: int, out_channels: int, expansion_rate: float, stride: tuple[int, int], grn: bool
    ) -> None:
        super().__init__()
        width = make_divisible(in_channels * expansion_rate)
        self.block = nn.Sequential(
            conv_norm(in_channels, width),
            conv_norm(width, width, 3, stride=stride, groups=width),
            conv_norm(width, out_channels, activation=False),
        )
        self.shortcut: nn.Module | None = None
        if in_channels == out_channels:
            self.shortcut = nn.Identity() if stride == (1, 1) else nn.AvgPool2d(3, stride, padding=1)
        self.after_block_norm = GRN() if grn else nn.Identity()
        self.after_block_activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, mels, frames] -> [batch, out_channels, mels', frames']."""
        y = self.block(x)
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        activated: Tensor = self.after_block_activation(self.after_block_norm(y))
        return activated


class CPMobile(nn.Module):
    """The student. Defaults are the full-size configuration: 126,952 parameters, 28.9 M MACs a second.

    Args:
        n_classes: number of labels.
        base_channels: width after the stem; widths are rounded to multiples of 8.
        channels_multiplier: growth of the width from stage to stage.
        expansion_rate: growth of the width inside a block.
        n_blocks: blocks per stage.
        strides: block name (``b1``, ``b2``, ... through all stages) to its (mel, frame) stride.
        grn: global response normalization after every block; the DCASE 2024 baseline has none.

    Raises:
        ConfigError: where a value makes no sense.
    """

    frontend: ClassVar[str] = "cp_mel"
    not_in_weights: ClassVar[tuple[str, ...]] = ("strides",)
    published_by: ClassVar[str] = "CP-JKU's DCASE 2023 submission (cpjku_dcase23, without a licence)"

    def __init__(
        self,
        n_classes: int = 10,
        base_channels: int = 32,
        channels_multiplier: float = 2.3,
        expansion_rate: float = 3.0,
        n_blocks: Sequence[int] = (3, 2, 1),
        strides: Mapping[str, Sequence[int]] | None = None,
        grn: bool = True,
    ) -> None:
        super().__init__()
        _check(base_channels, channels_multiplier, expansion_rate, n_blocks, strides)
        strides = {"b2": (2, 2), "b4": (2, 1)} if strides is None else strides
        base = make_divisible(base_channels)
        widths = [base] + [make_divisible(base * channels_multiplier**i) for i in range(len(n_blocks))]
        self.in_c = nn.Sequential(
            conv_norm(1, base // 4, 3, stride=2), conv_norm(base // 4, base, 3, stride=2)
        )
        self.stages = nn.Sequential()
        block = 0
        for stage, count in enumerate(n_blocks):
            blocks = nn.Sequential()
            for index in range(count):
                block += 1
                mel, frame = strides.get(f"b{block}", (1, 1))
                in_channels = widths[stage + 1] if index else widths[stage]
                blocks.add_module(
                    f"b{block}", Block(in_channels, widths[stage + 1], expansion_rate, (mel, frame), grn)
                )
            self.stages.add_module(f"s{stage + 1}", blocks)
        self.feed_forward = nn.Sequential(
            nn.Conv2d(widths[-1], n_classes, 1, bias=False),
            nn.BatchNorm2d(n_classes),
            nn.AdaptiveAvgPool2d((1, 1)),
        )
        self.apply(_initialize)

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, mels, frames] -> logits [batch, classes]."""
        logits: Tensor = self.feed_forward(self.stages(self.in_c(log_mel)))
        return logits.flatten(1)

    @classmethod
    def infer_arguments(cls, shapes: Shapes) -> dict[str, Any] | None:
        """The arguments that give weights of these shapes; None where no arguments do.

        Strides leave no trace in the weights: the defaults are assumed.
        """
        stages = Counter(
            int(found[1]) for key in shapes if (found := re.fullmatch(r"stages\.s(\d+)\.b\d+" + _EXPAND, key))
        )
        n_blocks = [stages[stage] for stage in sorted(stages)]
        blocks = [f"stages.s{stage + 1}.b{block}" for stage, block in _numbered(n_blocks)]
        needed = ["in_c.1.0.weight", "feed_forward.0.weight"]
        needed += [f"{block}.block.{layer}.0.weight" for block in blocks for layer in (0, 2)]
        if not blocks or any(len(shapes.get(key, ())) != 4 for key in needed):
            return None
        base = shapes["in_c.1.0.weight"][0]
        widths = {
            stage: shapes[f"stages.s{stage + 1}.b{block}.block.2.0.weight"][0]
            for stage, block in _numbered(n_blocks)
        }
        expansions = [shapes[f"{block}.block.0.0.weight"][:2] for block in blocks]
        multiplier = first_fitting(
            (2.3, 1.8), lambda m: all(make_divisible(base * m**stage) == w for stage, w in widths.items())
        )
        expansion = first_fitting(
            (3.0, 2.1), lambda e: all(make_divisible(i * e) == o for o, i in expansions)
        )
        if multiplier is None or expansion is None:
            return None
        return {
            "n_classes": shapes["feed_forward.0.weight"][0],
            "base_channels": base,
            "channels_multiplier": multiplier,
            "expansion_rate": expansion,
            "n_blocks": n_blocks,
            "grn": any(key.endswith(".after_block_norm.gamma") for key in shapes),
        }


_EXPAND = r"\.block\.0\.0\.weight"  # of every block, its first convolution


def _numbered(n_blocks: Sequence[int]) -> list[tuple[int, int]]:
    """Stage (from 0) and number (from 1, through all stages) of every block."""
    stages = [stage for stage, count in enumerate(n_blocks) for _ in range(count)]
    return [(stage, number) for number, stage in enumerate(stages, start=1)]


def _check(
    base_channels: int,
    channels_multiplier: float,
    expansion_rate: float,
    n_blocks: Sequence[int],
    strides: Mapping[str, Sequence[int]] | None,
) -> None:
    if base_channels < 1 or channels_multiplier <= 0 or expansion_rate <= 0:
        raise ConfigError(
            "CP-Mobile has at least one of base_channels, and channels_multiplier and expansion_rate above "
            f"0, not {base_channels}, {channels_multiplier} and {expansion_rate}."
        )
    if not _are_counts(n_blocks):
        raise ConfigError(f"n_blocks lists the blocks of each stage, such as [3, 2, 1], not {n_blocks}.")
    if strides is None:
        return
    if not isinstance(strides, Mapping):
        raise ConfigError(f"strides is a table of blocks, such as {{b2: [2, 2]}}, not {strides}.")
    names = [f"b{number}" for _, number in _numbered(n_blocks)]
    for name, stride in strides.items():
        if name not in names:
            raise ConfigError(f"strides names a block '{name}': {nearest(name, names)}")
        if not _are_counts(stride) or len(stride) != 2:
            raise ConfigError(f"strides.{name} is two strides of 1 or more, mels and frames, not {stride}.")


def _are_counts(values: Any) -> bool:
    """Whether a value is a list of whole numbers of 1 or more."""
    listed = isinstance(values, Sequence) and not isinstance(values, str) and len(values) > 0
    return listed and all(type(value) is int and value >= 1 for value in values)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
