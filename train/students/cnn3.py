"""CNN3: the baseline of DCASE Task 1 from 2020 to 2022, three convolutions and two linear layers.

Martín-Morató et al., "Low-complexity acoustic scene classification in DCASE 2022 Challenge", arXiv
2206.03835; names of modules follow the checkpoints of easy_dcase_task1. Front end: the preset ``cnn3_mel``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runtime.errors import ConfigError
from train.students.easy_dcase import ConvNorm, Dropout
from train.students.shapes import Shapes

_HIDDEN, _ROWS = 100, 2  # of the first linear layer; rows of the last map


class CNN3(nn.Module):
    """The student. Defaults have 46,118 parameters and 29.3 M MACs a second with ``cnn3_mel`` (40 x 51).

    The second pooling leaves two rows and one column, whatever the length of the clip: 4 x 10 for one second,
    and 4 x 100 for the ten seconds of 2020 and 2021.

    Args:
        n_classes: number of labels.
        base_channels: width of the first two convolutions; the third has twice as many.
        kernel_size: of the convolutions, an odd number.
        dropout: in training, after both poolings and the first linear layer.
    """

    frontend: ClassVar[str] = "cnn3_mel"
    not_in_weights: ClassVar[tuple[str, ...]] = ("dropout",)
    published_by: ClassVar[str] = "easy_dcase_task1 (Apache-2.0)"

    def __init__(
        self, n_classes: int = 10, base_channels: int = 16, kernel_size: int = 7, dropout: float = 0.3
    ) -> None:
        super().__init__()
        if base_channels < 1 or kernel_size < 1 or kernel_size % 2 == 0:
            raise ConfigError(
                f"CNN3 has at least one of base_channels and an odd kernel_size, not {base_channels} and "
                f"{kernel_size}."
            )
        width = base_channels
        self.conv1 = ConvNorm(1, width, kernel_size, bias=True)
        self.conv2 = ConvNorm(width, width, kernel_size, bias=True)
        self.max_pooling1 = nn.MaxPool2d(5)
        self.conv3 = ConvNorm(width, 2 * width, kernel_size, bias=True)
        self.linear1 = nn.Linear(2 * width * _ROWS, _HIDDEN)
        self.linear2 = nn.Linear(_HIDDEN, n_classes)
        self.dropout = Dropout(dropout)

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, mels, frames], 20 mels and 5 frames at least -> logits [batch, classes]."""
        x = self.dropout(self.max_pooling1(self.conv2(self.conv1(log_mel))))
        x = self.conv3(x)
        x = self.dropout(F.max_pool2d(x, (x.shape[2] // _ROWS, x.shape[3])))
        hidden = self.dropout(torch.relu(self.linear1(x.flatten(1))))
        logits: Tensor = self.linear2(hidden)
        return logits

    @classmethod
    def infer_arguments(cls, shapes: Shapes) -> dict[str, Any] | None:
        """The arguments that give weights of these shapes; None where no arguments do."""
        stem, head = (shapes.get(key, ()) for key in ("conv1._conv.weight", "linear2.weight"))
        if len(stem) != 4 or len(head) != 2:
            return None
        return {"n_classes": head[0], "base_channels": stem[0], "kernel_size": stem[2]}
