"""Fake quantizers: INT8's rounding in a float graph, switchable, and with gradients that pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from train.quantize import Observer, Scheme, WeightObserver, aten
from train.scales import Range
from train.twin import prepare_training, release, settle

_MOMENTUM = 0.01  # share of a batch's extremes in a range
_CALIBRATION_BATCH = 16
_BATCH_NORM_TRAINING = 5  # position of that argument of aten.batch_norm


class FakeActivation(Observer):
    """Rounds an activation as INT8 will and lets gradients pass; its range follows what it sees.

    Args:
        name: of the value.

    Attributes:
        momentum: share of a new batch's extremes in the range.
    """

    low: Tensor
    high: Tensor

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.momentum = _MOMENTUM
        self.register_buffer("low", torch.tensor(0.0))
        self.register_buffer("high", torch.tensor(0.0))
        self.observes, self.quantizes = True, True

    def switch(self, *, observe: bool, quantize: bool) -> None:
        """Whether the range follows the data, and whether values are rounded."""
        self.observes, self.quantizes = observe, quantize

    def set_range(self, value_range: Range) -> None:
        """Begin with a range that is known."""
        self.low.fill_(value_range[0])
        self.high.fill_(value_range[1])

    def range(self) -> Range:
        """The range so far."""
        return float(self.low), float(self.high)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        if self.observes:
            low, high = torch.aminmax(x.detach())
            self.low += self.momentum * (low.clamp(max=0.0) - self.low)
            self.high += self.momentum * (high.clamp(min=0.0) - self.high)
        if not self.quantizes:
            return x
        rounded = torch.fake_quantize_per_tensor_affine(x, *self.parameters(), 0, 255)
        if rounded.requires_grad and rounded.shape[2:] == (1, 1):
            rounded.register_hook(_finite)
        return rounded


def _finite(gradient: Tensor) -> Tensor:
    """A statistic that is rounded to zero has no slope in GRN: the square root gives it infinity."""
    return torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)


class FakeWeight(WeightObserver):
    """Rounds a weight as INT8 will, on the grid that its own largest entries give, and lets gradients pass.

    Args:
        name: of the layer.
        weight_range: least and greatest integer.
    """

    def __init__(self, name: str, weight_range: tuple[int, int]) -> None:
        super().__init__(name, weight_range)
        self.quantizes = True

    def switch(self, *, observe: bool, quantize: bool) -> None:
        """Whether the weight is rounded; there is nothing to observe."""
        self.quantizes = quantize

    def forward(self, x: Tensor) -> Tensor:
        """[out_channels, ...] -> the same."""
        if not self.quantizes:
            return x
        scales = self.scales(x)
        zeros = torch.zeros_like(scales, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(x, scales, zeros, 0, self.quant_min, self.quant_max)

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """PT2E requires it; nobody calls it."""
        raise NotImplementedError("the INT8 twin takes its scales from the trained weights")


class FakeQuantized(nn.Module):
    """A student between fake quantizers. Parameters are the student's own, so training trains both.

    Args:
        student: built and loaded.
        input_shape: of its input at batch 1.
        scheme: what varies in INT8.

    Attributes:
        frozen: batch norm and ranges stand still, as they will in the file.
    """

    def __init__(self, student: nn.Module, input_shape: tuple[int, ...], scheme: Scheme) -> None:
        super().__init__()
        self.scheme, self.frozen = scheme, False
        self.graph = prepare_training(student.eval(), input_shape, scheme, FakeActivation, FakeWeight)
        self.values = {m.name: m for m in self.graph.modules() if isinstance(m, FakeActivation)}

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, n_mels, frames] -> logits [batch, classes]."""
        return self.graph(log_mel)

    def train(self, mode: bool = True) -> FakeQuantized:
        """Whether batch norm and ranges follow the data; an exported graph keeps its mode in its nodes."""
        self.training = mode
        for node in self.graph.graph.find_nodes(op="call_function", target=aten.batch_norm.default):
            node.update_arg(_BATCH_NORM_TRAINING, mode and not self.frozen)
        self.graph.recompile()
        observes = mode and not self.frozen
        for value in self.values.values():
            value.switch(observe=observes, quantize=True)
        (release if observes else settle)(self.graph)  # scales that are to settle have to stand still
        return self

    def begin_with(self, log_mels: Tensor) -> None:
        """Take the first ranges from calibration windows [n, 1, n_mels, frames]."""
        for value in self.values.values():
            value.switch(observe=True, quantize=False)
            value.momentum = 1.0
        with torch.no_grad():
            for batch in log_mels.split(_CALIBRATION_BATCH):
                self(batch.float())
                for value in self.values.values():
                    value.momentum = _MOMENTUM
        self.train(self.training)

    def copy_statistics_to(self, student: nn.Module) -> None:
        """Give batch norm's statistics to the student: a move to another device parts the two."""
        buffers = dict(student.named_buffers())
        for name, buffer in self.graph.named_buffers():
            if name in buffers:
                buffers[name].copy_(buffer)

    def learned(self) -> dict[str, Any]:
        """What ``Checkpoint.quantization`` keeps of it: all that export needs besides the weights."""
        return {
            "scheme": "int8",
            "method": "qat",
            "weight_range": list(self.scheme.weight_range),
            "keep_float": list(self.scheme.keep_float),
            "ranges": {name: list(value.range()) for name, value in self.values.items()},
        }
