"""Post-training quantization of a network: ranges from calibration windows, weights rounded for the output.

QAT begins with its result. `train.quantization.choose_ranges` decides which ranges to take.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from train.quantization.conversion import convert, prepare
from train.quantization.gptq import MomentObserver, round_weight
from train.quantization.observers import OBSERVERS, RangeObserver
from train.quantization.qparams import Range
from train.quantization.quantizer import PORTABLE, Scheme

CALIBRATION_BATCH = 16  # windows that run at once
_ROUNDING_WINDOWS = 32  # second moments of 9 x 216 inputs settle long before all windows are seen


@dataclass(frozen=True)
class Calibration:
    """What calibration windows tell about a network.

    Attributes:
        input_shape: of the network at batch 1.
        observers: name of a value to what was seen of it.
        moments: name of a layer to the second moments of its inputs, see `train.quantization.gptq`.
    """

    input_shape: tuple[int, ...]
    observers: dict[str, RangeObserver]
    moments: dict[str, Tensor]

    def ranges(self, observer: str) -> dict[str, Range]:
        """The range of every value, chosen by a key of `OBSERVERS`."""
        return {name: OBSERVERS[observer](seen) for name, seen in self.observers.items()}

    def round(self, name: str, weight: Tensor, scales: Tensor, weight_range: tuple[int, int]) -> Tensor:
        """The weight [out_channels, ...] of a layer on the grid of its scales [out_channels]."""
        return round_weight(weight, scales, self.moments[name], weight_range)

    def twin(self, network: nn.Module, observer: str, scheme: Scheme) -> GraphModule:
        """The INT8 twin of the network with ranges of one observer and weights rounded for their output."""

        def rounding(name: str, weight: Tensor, scales: Tensor) -> Tensor:
            return self.round(name, weight, scales, scheme.weight_range)

        return convert(network, self.input_shape, self.ranges(observer), scheme, rounding)


def calibrate(network: nn.Module, windows: Tensor) -> Calibration:
    """Run calibration windows through a network and look at every value that INT8 needs a range for.

    Args:
        network: in eval mode.
        windows: log-mels [n, 1, n_mels, frames].
    """
    prepared = prepare(network, tuple(windows.shape), PORTABLE, RangeObserver)
    observers = {m.name: m for m in prepared.modules() if isinstance(m, RangeObserver)}
    moments = MomentObserver(prepared)
    with torch.no_grad():
        for batch in windows.split(CALIBRATION_BATCH):  # first: it refuses what is not finite in one sentence
            prepared(batch.float())
        for batch in windows[:: max(1, len(windows) // _ROUNDING_WINDOWS)].split(CALIBRATION_BATCH):
            moments.run(batch.float())
    return Calibration((1, *windows.shape[1:]), observers, moments.moments)
