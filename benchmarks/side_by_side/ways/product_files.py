"""Networks of other products with random weights, which take the time that trained weights take.

No package of PyPI, npm or Debian was found that contains the trained files of YAMNet or of CED.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from export.onnx_graph import trace
from export.sherpa import write
from runtime.spec import FrontEndSpec
from train import networks
from train.checkpoints.model_pt import Checkpoint

CLASSES, SEED = 521, 0
YAMNET_INPUT = (1, 1, 96, 64)  # a patch of 0.96 s: frames, mel bands
# Channels and stride of the separable layers, from tensorflow/models, research/audioset/yamnet/yamnet.py
_LAYERS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


class YamNet(nn.Module):
    """YAMNet: MobileNet v1 on a log-mel patch, 3.75 M parameters.

    Source: Plakal and Ellis, github.com/tensorflow/models, research/audioset/yamnet.
    """

    def __init__(self) -> None:
        super().__init__()
        layers, width = [_convolution(1, 32, 3, 2)], 32
        for channels, stride in _LAYERS:
            layers += [_convolution(width, width, 3, stride, width), _convolution(width, channels, 1, 1)]
            width = channels
        self.features, self.head = nn.Sequential(*layers), nn.Linear(width, CLASSES)

    def forward(self, patches: Tensor) -> Tensor:
        """[patches, 1, 96, 64] -> probabilities [patches, 521]."""
        pooled = nn.functional.adaptive_avg_pool2d(self.features(patches), 1).flatten(1)
        scores: Tensor = self.head(pooled).sigmoid()
        return scores


def _convolution(width: int, channels: int, size: int, stride: int, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(width, channels, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())


def write_yamnet(path: Path) -> None:
    """Write the network as .onnx, for onnx2tf."""
    torch.manual_seed(SEED)
    onnx.save(trace(YamNet().eval(), torch.zeros(YAMNET_INPUT), {}, ("patch", "scores")), path)


def write_ced(folder: Path) -> None:
    """Write a CED-tiny as sherpa-onnx's audio tagging reads it: ``model.onnx`` and its labels."""
    torch.manual_seed(SEED)
    labels, front_end = tuple(f"class {index}" for index in range(527)), FrontEndSpec.preset("ced_mel")
    arguments = {"n_classes": len(labels)}
    weights = networks.build("ced", arguments).state_dict()
    write(Checkpoint("ced", arguments, front_end, labels, weights, task="multi_label", clip_s=10.0), folder)
