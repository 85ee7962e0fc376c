"""TF-SepNet: separable convolutions along mels and along frames, in two halves of the channels.

Cai et al., "TF-SepNet: an efficient 1D kernel design in CNNs for low-complexity acoustic scene
classification", arXiv 2309.08200. Names of modules follow the checkpoints of easy_dcase_task1.
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


class SeparableBlock(nn.Module):
    """One half of the channels is convolved along mels, the other half along frames.

    Each half is averaged over its axis, mixed by a 1x1 convolution and added to itself.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        half = out_channels // 2
        self.trans_conv = (
            ConvNorm(in_channels, out_channels) if in_channels != out_channels else nn.Identity()
        )
        self.freq_dw_conv = ConvNorm(half, half, (3, 1), groups=half)
        self.freq_pw_conv = ConvNorm(half, half)
        self.temp_dw_conv = ConvNorm(half, half, (1, 3), groups=half)
        self.temp_pw_conv = ConvNorm(half, half)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, mels, frames] -> [batch, out_channels, mels, frames]."""
        of_mels, of_frames = _shuffle(self.trans_conv(x)).chunk(2, dim=1)
        over_mels = self.freq_pw_conv(self.freq_dw_conv(of_mels).mean(dim=2, keepdim=True))
        over_frames = self.temp_pw_conv(self.temp_dw_conv(of_frames).mean(dim=3, keepdim=True))
        return torch.cat([of_mels + self.dropout(over_mels), of_frames + self.dropout(over_frames)], dim=1)


def _shuffle(x: Tensor) -> Tensor:
    """Interleave the two halves of the channels, so that both kinds of convolution reach all of them."""
    batch, channels, mels, frames = x.shape
    return x.reshape(batch, 2, channels // 2, mels, frames).transpose(1, 2).reshape(x.shape)


class TFSepNet(Backbone):
    """The student. Defaults have 126,858 parameters and 29.4 M MACs a second with ``cp_mel_512`` (512 x 64).

    Args:
        n_classes: number of labels.
        base_channels: width of the first blocks, a multiple of 4; 40 gives the small configuration.
        depth: 17, or 16, which lacks the last pooling.
        dropout: of the blocks, in training.
    """

    frontend: ClassVar[str] = "cp_mel_512"
    not_in_weights: ClassVar[tuple[str, ...]] = ("dropout",)
    published_by: ClassVar[str] = "easy_dcase_task1 (Apache-2.0)"

    def __init__(
        self, n_classes: int = 10, base_channels: int = 64, depth: int = 17, dropout: float = 0.1
    ) -> None:
        super().__init__()
        if depth not in LAYERS or base_channels < 4 or base_channels % 4:
            raise ConfigError(
                f"TF-SepNet has depth {' or '.join(map(str, LAYERS))} and base_channels that 4 divides, not "
                f"{depth} and {base_channels}."
            )
        stem = base_channels // 2
        self.conv_layers = nn.Sequential(
            ConvNorm(1, stem, 3, stride=2), ConvNorm(stem, 2 * base_channels, 3, stride=2, groups=stem)
        )
        block = partial(SeparableBlock, dropout=dropout)
        self.middle_layers, channels = middle_layers(LAYERS[depth], base_channels, block)
        self.classifier = Classifier(channels, n_classes)

    @classmethod
    def infer_arguments(cls, shapes: Shapes) -> dict[str, Any] | None:
        """The arguments that give weights of these shapes; None where no arguments do."""
        depths = [depth for depth, layers in LAYERS.items() if places_of(layers) == block_places(shapes)]
        stem, head = (shapes.get(key, ()) for key in ("conv_layers.0._conv.weight", "classifier.conv.weight"))
        if not depths or len(stem) != 4 or len(head) != 4:
            return None
        return {"n_classes": head[0], "base_channels": 2 * stem[0], "depth": depths[0]}
