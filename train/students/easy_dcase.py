"""Modules that TF-SepNet, BC-ResNet and CNN3 share in easy_dcase's form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

NORM, POOL = "norm", "pool"  # residual normalization, and max pooling by two in both axes
Layer = str | float  # NORM, POOL, or a block's width as a multiple of the base

# Depth to the layers between the stem and the classifier.
LAYERS: Mapping[int, Sequence[Layer]] = {
    16: (NORM, 1, 1, NORM, POOL, 1.5, 1.5, NORM, POOL, 2, 2, NORM, 2.5, 2.5, 2.5, NORM),
    17: (NORM, 1, 1, NORM, POOL, 1.5, 1.5, NORM, POOL, 2, 2, NORM, POOL, 2.5, 2.5, 2.5, NORM),
}


class ResNorm(nn.Module):
    """Residual normalization (Kim et al., DCASE 2021): x / 10 plus x normalized in every mel band.

    Mean and unbiased variance are those of an example's mel band over channels and frames; there are no
    parameters. It is written as one multiplication and one addition of the feature map, ``x * a + b``: the
    statistics a and b, one number per mel band, are the only part that INT8 leaves in float.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, mels, frames] -> the same shape."""
        count = x.shape[1] * x.shape[3]
        mean = x.mean(dim=(1, 3), keepdim=True)  # [batch, 1, mels, 1]
        energy = x.square().mean(dim=(1, 3), keepdim=True)
        variance = torch.relu(energy - mean * mean) * (count / (count - 1))
        scale = 1 / torch.sqrt(variance + 1e-5)
        return x * (0.1 + scale) + -mean * scale


class Backbone(nn.Module):
    """The order of the parts of both networks; a child builds them, under the keys of the published files."""

    conv_layers: nn.Module
    middle_layers: nn.Module
    classifier: nn.Module

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, mels, frames] -> logits [batch, classes]."""
        logits: Tensor = self.classifier(self.middle_layers(self.conv_layers(log_mel)))
        return logits


class ConvNorm(nn.Module):
    """Convolution, batch norm and, unless switched off, ReLU; keys ``_conv`` and ``_bn``."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int] = 1,
        stride: int = 1, groups: int = 1, activation: bool = True, bias: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        self._conv = nn.Conv2d(
            in_channels, out_channels, size, stride=stride, padding=(size[0] // 2, size[1] // 2),
            groups=groups, bias=bias,
        )  # fmt: skip
        self._bn = nn.BatchNorm2d(out_channels)
        self._activation = nn.ReLU() if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, mels, frames] -> [batch, out_channels, mels', frames']."""
        result: Tensor = self._activation(self._bn(self._conv(x)))
        return result


class Dropout(nn.Dropout):
    """Dropout that leaves no operation in an exported evaluation graph, where INT8 would requantize it."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return super().forward(x) if self.training else x


class Classifier(nn.Module):
    """A 1x1 convolution with bias, then the mean over mels and frames."""

    def __init__(self, in_channels: int, n_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, n_classes, 1)
        self.mean = nn.AdaptiveAvgPool2d((1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, mels, frames] -> logits [batch, classes]."""
        logits: Tensor = self.mean(self.conv(x))
        return logits.flatten(1)


def middle_layers(
    layers: Sequence[Layer], base_channels: int, block: Callable[[int, int], nn.Module]
) -> tuple[nn.Sequential, int]:
    """Build the layers after a stem of ``2 * base_channels`` channels.

    Args:
        layers: a value of `LAYERS`.
        base_channels: the base of the widths.
        block: from input and output channels to a block.

    Returns:
        The layers, and the channels after the last one.
    """
    built: list[nn.Module] = []
    channels = 2 * base_channels
    for layer in layers:
        if isinstance(layer, str):
            built.append(ResNorm() if layer == NORM else nn.MaxPool2d(2))
            continue
        width = int(layer * base_channels)
        built.append(block(channels, width))
        channels = width
    return nn.Sequential(*built), channels


def block_places(keys: Iterable[str]) -> set[int]:
    """Indices in ``middle_layers`` that the keys of a state_dict name, which are those of blocks."""
    return {int(key.split(".")[1]) for key in keys if key.startswith("middle_layers.")}


def places_of(layers: Sequence[Layer]) -> set[int]:
    """Indices of the blocks of a value of `LAYERS`."""
    return {place for place, layer in enumerate(layers) if not isinstance(layer, str)}
