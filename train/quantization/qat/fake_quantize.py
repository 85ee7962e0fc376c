"""Fake quantizers: the rounding of INT8 in a float graph, with straight-through gradients.

As in torchao's FakeQuantizeBase, ``observer_enabled`` and ``fake_quant_enabled`` switch the two halves. Here
they are attributes, not buffers: the phase of the network sets them, and only the phase is saved.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.quantization.observers import ActivationObserver, WeightObserver
from train.quantization.qparams import Range

MOMENTUM = 0.01  # share of a batch's extremes in a range


class FakeActivation(ActivationObserver):
    """Rounds an activation as INT8 will; its range is a moving average of the extremes of batches.

    Args:
        name: of the value.

    Attributes:
        observer_enabled: the range follows the data.
        fake_quant_enabled: values are rounded.
        momentum: share of a new batch's extremes in the range.
    """

    low: Tensor
    high: Tensor

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.momentum = MOMENTUM
        self.register_buffer("low", torch.tensor(0.0))
        self.register_buffer("high", torch.tensor(0.0))
        self.observer_enabled, self.fake_quant_enabled = True, True

    def set_range(self, value_range: Range) -> None:
        """Replace the range."""
        self.low.fill_(value_range[0])
        self.high.fill_(value_range[1])

    def range(self) -> Range:
        """The range so far."""
        return float(self.low), float(self.high)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        if self.observer_enabled:
            low, high = torch.aminmax(x.detach())
            self.low += self.momentum * (low.clamp(max=0.0) - self.low)
            self.high += self.momentum * (high.clamp(min=0.0) - self.high)
        if not self.fake_quant_enabled:
            return x
        return torch.fake_quantize_per_tensor_affine(x, *self.parameters(), 0, 255)


class FakeWeight(WeightObserver):
    """Rounds a weight as INT8 will, to multiples of scales that follow its largest entries or are frozen.

    Args:
        name: of the layer.
        weight_range: least and greatest integer.

    Attributes:
        fake_quant_enabled: the weight is rounded.
        frozen: it is rounded to multiples of ``frozen_scales``, whatever its largest entries are.
        frozen_scales: [out_channels]; zeros before `train.quantization.qat.freeze.freeze` chooses them.
        folded: the last weight it rounded, [out_channels, ...], batch norm folded into it.
    """

    frozen_scales: Tensor

    def __init__(self, name: str, weight_range: tuple[int, int]) -> None:
        super().__init__(name, weight_range)
        self.register_buffer("frozen_scales", torch.zeros(0))
        self.fake_quant_enabled, self.frozen = True, False
        self.folded = torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        """[out_channels, ...] -> the same."""
        self.folded = x.detach()
        if not self.fake_quant_enabled:
            return x
        scales = self.frozen_scales if self.frozen else self.scales(x)
        zeros = torch.zeros_like(scales, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(x, scales, zeros, 0, self.quant_min, self.quant_max)

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """PT2E requires the method; a graph of fake quantizers is never converted."""
        raise NotImplementedError("the INT8 model takes its scales from the trained weights")
