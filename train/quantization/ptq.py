"""Post-training quantization of a network: ranges from calibration windows, GPTQ, bias correction.

QAT starts from its ranges and rounded weights. `train.quantization.choose_ranges` decides which observer's
ranges to take.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import GraphModule

from train.quantization.conversion import BiasReference, Network, convert, prepare
from train.quantization.observers import OBSERVERS, HistogramObserver
from train.quantization.qparams import Range
from train.quantization.quantizer import PORTABLE, Scheme
from train.quantization.weights.bias_correction import ChannelMeans
from train.quantization.weights.gptq import MomentObserver, round_weight

CALIBRATION_BATCH = 16  # windows that run at once
_ROUNDING_WINDOWS = 32  # second moments of 9 x 216 inputs converge long before all windows are counted
_BIAS_WINDOWS = 64  # run as one batch, so that each layer is corrected once


@dataclass(frozen=True)
class Calibration:
    """Statistics of a network on calibration windows.

    Attributes:
        input_shape: of the network at batch 1.
        observers: name of a value to the histogram of it.
        moments: name of a layer to the second moments of its inputs, see `train.quantization.weights.gptq`.
        bias_reference: what biases are corrected by, see `train.quantization.weights.bias_correction`.
    """

    input_shape: tuple[int, ...]
    observers: dict[str, HistogramObserver]
    moments: dict[str, Tensor]
    bias_reference: BiasReference

    def ranges(self, observer: str) -> dict[str, Range]:
        """The range of every value, chosen by a key of `OBSERVERS`."""
        return {name: OBSERVERS[observer](histogram) for name, histogram in self.observers.items()}

    def round(self, name: str, weight: Tensor, scales: Tensor, weight_range: tuple[int, int]) -> Tensor:
        """The weight [out_channels, ...] of a layer, rounded to multiples of its scales [out_channels]."""
        return round_weight(weight, scales, self.moments[name], weight_range)

    def int8_model(self, network: Network, observer: str, scheme: Scheme) -> GraphModule:
        """The INT8 model with the ranges of one observer, weights rounded by GPTQ, and corrected biases."""

        def rounding(name: str, weight: Tensor, scales: Tensor) -> Tensor:
            return self.round(name, weight, scales, scheme.weight_range)

        ranges = self.ranges(observer)
        return convert(
            network, self.input_shape, ranges, scheme, rounding, bias_reference=self.bias_reference
        )


def calibrate(network: Network, windows: Tensor) -> Calibration:
    """Run calibration windows through a network and count every value that INT8 needs a range for.

    Args:
        network: in eval mode.
        windows: log-mels [n, 1, n_mels, frames].

    Raises:
        ModelFileError: where a value is not finite; it names the value.
    """
    prepared = prepare(network, tuple(windows.shape), PORTABLE, HistogramObserver)
    observers = {m.name: m for m in prepared.modules() if isinstance(m, HistogramObserver)}
    moments = MomentObserver(prepared)
    with torch.no_grad():
        for batch in torch.split(windows, CALIBRATION_BATCH):  # first: it refuses what is not finite
            prepared(batch.float())
        for batch in torch.split(_some(windows, _ROUNDING_WINDOWS), CALIBRATION_BATCH):
            moments.run(batch.float())
        for histogram in observers.values():
            histogram.observer_enabled = False  # the windows below were counted above
        for_biases = _some(windows, _BIAS_WINDOWS)
        means = ChannelMeans(prepared)
        means.run(for_biases.float())
    return Calibration((1, *windows.shape[1:]), observers, moments.moments, (for_biases, means.means))


def _some(windows: Tensor, count: int) -> Tensor:
    """About so many windows, evenly over all."""
    return windows[:: max(1, len(windows) // count)]
