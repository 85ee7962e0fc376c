"""BC-ResNet: residual blocks that broadcast a temporal branch over the mel bands.

Kim et al., "Broadcasted residual learning for efficient keyword spotting", Interspeech 2021, in the form of
easy_dcase_task1: residual normalization without parameters, one sub-band. Names of modules follow its
checkpoints.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from runtime.errors import ConfigError
from train.students.easy_dcase import (
    LAYERS,
    Backbone,
    Classifier,
    ConvNorm,
    Dropout,
    block_places,
    middle_layers,
    places_of,
)
from train.students.shapes import Shapes

_LAYERS = LAYERS[16]


class SubSpectralNorm(nn.Module):
    """Batch norm of one sub-band, which is that of all mels; the name is that of its keys."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, mels, frames] -> the same shape."""
        result: Tensor = self._bn(x)
        return result


class BroadcastBlock(nn.Module):
    """A depthwise convolution along mels, plus one along frames of the mean over mels."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        widens = in_channels != out_channels
        self.trans_conv = ConvNorm(in_channels, out_channels) if widens else None
        self.freq_dw_conv = nn.Conv2d(
            out_channels, out_channels, (3, 1), padding=(1, 0), groups=out_channels, bias=False
        )
        self.ssn = SubSpectralNorm(out_channels)
        self.temp_dw_conv = ConvNorm(
            out_channels, out_channels, (1, 3), groups=out_channels, activation=False
        )
        self.swish = nn.SiLU()
        self.pw_conv = nn.Conv2d(out_channels, out_channels, 1, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, mels, frames] -> [batch, out_channels, mels, frames]."""
        widened = x if self.trans_conv is None else self.trans_conv(x)
        of_mels = self.ssn(self.freq_dw_conv(widened))
        over_mels = self.swish(self.temp_dw_conv(of_mels.mean(dim=2, keepdim=True)))
        result = of_mels + self.dropout(self.pw_conv(over_mels))
        return torch.relu(result + x if self.trans_conv is None else result)


class BCResNet(Backbone):
    """The student. Defaults have 81,770 parameters and 29.6 M MACs a second with ``cp_mel`` (256 x 64).

    Args:
        n_classes: number of labels.
        base_channels: width of the first blocks, an even number.
        dropout: of the blocks, in training.
    """

    frontend: ClassVar[str] = "cp_mel"
    not_in_weights: ClassVar[tuple[str, ...]] = ("dropout",)
    published_by: ClassVar[str] = "easy_dcase_task1 (Apache-2.0)"

    def __init__(self, n_classes: int = 10, base_channels: int = 40, dropout: float = 0.1) -> None:
        super().__init__()
        if base_channels < 2 or base_channels % 2:
            raise ConfigError(f"BC-ResNet has an even number of base_channels, not {base_channels}.")
        self.conv_layers = nn.Conv2d(1, 2 * base_channels, 5, stride=2, padding=2, bias=False)
        block = partial(BroadcastBlock, dropout=dropout)
        self.middle_layers, channels = middle_layers(_LAYERS, base_channels, block)
        self.classifier = Classifier(channels, n_classes)

    @classmethod
    def infer_arguments(cls, shapes: Shapes) -> dict[str, Any] | None:
        """The arguments that give weights of these shapes; None where no arguments do."""
        stem, head = (shapes.get(key, ()) for key in ("conv_layers.weight", "classifier.conv.weight"))
        if len(stem) != 4 or len(head) != 4 or block_places(shapes) != places_of(_LAYERS):
            return None
        return {"n_classes": head[0], "base_channels": stem[0] // 2}
