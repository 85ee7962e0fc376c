"""EfficientAT's MobileNets: AudioSet taggers distilled from PaSST, mn01 to mn40 by width.

Schmid, Koutini and Widmer, "Efficient large-scale audio tagging via transformer-to-CNN knowledge
distillation", ICASSP 2023. The layers are those of torchvision's MobileNetV3-large (Howard et al., ICCV 2019)
with one input channel. The keys of the state dict are those of the published files, so that their weights
load as they are. Front end: the preset ``passt_mel``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.students.cp_mobile import make_divisible

_EPS, _MOMENTUM = 1e-3, 0.01  # of batch norm, as in MobileNetV3


class _Block(NamedTuple):
    """A row of MobileNetV3-large's table, at width 1."""

    kernel: int
    expanded: int
    out: int
    squeeze: bool
    hard_swish: bool
    stride: int


_STEM, _LAST_EXPANSION, _HIDDEN = 16, 6, 1280
_TABLE = (
    _Block(3, 16, 16, False, False, 1),
    _Block(3, 64, 24, False, False, 2),
    _Block(3, 72, 24, False, False, 1),
    _Block(5, 72, 40, True, False, 2),
    _Block(5, 120, 40, True, False, 1),
    _Block(5, 120, 40, True, False, 1),
    _Block(3, 240, 80, False, True, 2),
    _Block(3, 200, 80, False, True, 1),
    _Block(3, 184, 80, False, True, 1),
    _Block(3, 184, 80, False, True, 1),
    _Block(3, 480, 112, True, True, 1),
    _Block(3, 672, 112, True, True, 1),
    _Block(5, 672, 160, True, True, 2),
    _Block(5, 960, 160, True, True, 1),
    _Block(5, 960, 160, True, True, 1),
)


class MobileNet(nn.Module):
    """The tagger, or its encoder with a linear head.

    Args:
        n_classes: number of logits; 527 in the published files.
        width: multiplies the channels of every layer, rounded to multiples of 8; 0.4 is mn04.
        head: ``mlp`` is the published one: linear, hard-swish, dropout, linear. ``linear`` is one linear
            layer on the standardized embedding, for fine-tuning on few clips.
        dropout: of the head.
    """

    frontend: ClassVar[str] = "passt_mel"
    not_in_weights: ClassVar[tuple[str, ...]] = ("dropout",)
    head: ClassVar[str] = "classifier"
    layers: ClassVar[tuple[str, ...]] = ("features.*", "classifier")
    published_by: ClassVar[str] = "fschmid56/EfficientAT (code MIT)"

    def __init__(
        self,
        n_classes: int = 527,
        width: float = 1.0,
        head: Literal["mlp", "linear"] = "mlp",
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        channels = make_divisible(_STEM * width)
        layers: list[nn.Module] = [_conv_norm(1, channels, 3, stride=2, activation=nn.Hardswish)]
        for row in _TABLE:
            layers.append(InvertedResidual(channels, row, width))
            channels = make_divisible(row.out * width)
        self.embedding_size = _LAST_EXPANSION * channels
        layers.append(_conv_norm(channels, self.embedding_size, activation=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), *self._head(n_classes, width, head, dropout)
        )

    @classmethod
    def infer_arguments(cls, shapes: Mapping[str, Sequence[int]]) -> dict[str, Any] | None:
        """Arguments from the shapes of weights by key; None where they are of another network."""
        if "features.16.0.weight" not in shapes or "classifier.5.weight" not in shapes:
            return None
        n_classes, hidden = shapes["classifier.5.weight"]
        return {"n_classes": n_classes, "width": round(hidden / _HIDDEN, 2)}

    def _head(self, n_classes: int, width: float, head: str, dropout: float) -> list[nn.Module]:
        """The layers after the global mean; the published one begins at index 2 of ``classifier``."""
        if head == "linear":
            standardize = nn.BatchNorm1d(self.embedding_size, affine=False)
            return [standardize, nn.Linear(self.embedding_size, n_classes)]
        hidden = make_divisible(_HIDDEN * width)
        return [
            nn.Linear(self.embedding_size, hidden),
            nn.Hardswish(),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_classes),
        ]

    def embed(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, 128, frames] -> the global mean of the last maps, [batch, embedding_size]."""
        maps: Tensor = self.features(log_mel)
        return maps.mean(dim=(2, 3))

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, 128, frames] -> logits [batch, n_classes]."""
        logits: Tensor = self.classifier(self.features(log_mel))
        return logits


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, squeeze-excitation, projection, and a shortcut where shapes agree."""

    def __init__(self, in_channels: int, row: _Block, width: float) -> None:
        super().__init__()
        expanded, out = make_divisible(row.expanded * width), make_divisible(row.out * width)
        activation = nn.Hardswish if row.hard_swish else nn.ReLU
        layers: list[nn.Module] = []
        if expanded != in_channels:
            layers.append(_conv_norm(in_channels, expanded, activation=activation))
        layers.append(
            _conv_norm(
                expanded, expanded, row.kernel, stride=row.stride, groups=expanded, activation=activation
            )
        )
        if row.squeeze:
            layers.append(ConcurrentSqueeze(expanded))
        layers.append(_conv_norm(expanded, out, activation=None))
        self.block = nn.Sequential(*layers)
        self.shortcut = row.stride == 1 and in_channels == out

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, mels, frames] -> [batch, out, mels', frames']."""
        y: Tensor = self.block(x)
        return x + y if self.shortcut else y


class ConcurrentSqueeze(nn.Module):
    """Squeeze-excitation over channels (Hu et al., CVPR 2018), under the keys of the published files.

    EfficientAT can also squeeze over mels and frames and take the maximum of the gates; its published
    MobileNets squeeze over channels alone.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conc_se_layers = nn.ModuleList([Squeeze(channels, make_divisible(channels // 4))])

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, mels, frames] -> the same."""
        y: Tensor = self.conc_se_layers[0](x)
        return y


class Squeeze(nn.Module):
    """A gate for every channel from the means of all channels."""

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, bottleneck)
        self.fc2 = nn.Linear(bottleneck, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, mels, frames] -> the same."""
        gate = torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean(dim=(2, 3))))))
        return x * gate[:, :, None, None]


def _conv_norm(
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None,
) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(out_channels, eps=_EPS, momentum=_MOMENTUM)
    return nn.Sequential(conv, norm, *([activation()] if activation else []))
