"""Observers: what PT2E inserts at activations and weights, and how a range follows from what they counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from runtime.errors import ModelFileError
from train.quantization.qparams import Range, activation_parameters, weight_scales
from train.quantization.torchao_imports import ObserverBase

_BINS = 4096
_STRIDE = 7  # of large maps every 7th entry is counted: coprime to the frames, so no column is favoured
_OUTSIDE = 1e-4  # share of the activations that `percentile` clips on either side
_SHRINKS = [1.0 - 0.02 * step for step in range(31)]  # clipping limits that `mse` tries


class ActivationObserver(ObserverBase):  # type: ignore[misc]
    """What PT2E inserts where an activation is quantized; subclasses give the range.

    Args:
        name: of the value.

    Attributes:
        scale: the one that `train.quantization.graph.scale_alignment` chose, or None where it follows the
        range.
    """

    def __init__(self, name: str) -> None:
        super().__init__(dtype=torch.uint8)
        self.quant_min, self.quant_max = 0, 255
        self.qscheme, self.ch_axis = torch.per_tensor_affine, None
        self.name = name
        self.scale: float | None = None

    def range(self) -> Range:
        """The least and the greatest number that the value has to represent."""
        raise NotImplementedError

    def parameters(self) -> tuple[float, int]:
        """Scale and zero point."""
        return activation_parameters(self.range(), self.scale)

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point in the form that PT2E reads."""
        scale, zero_point = self.parameters()
        return torch.tensor([scale]), torch.tensor([zero_point])


class FixedRange(ActivationObserver):
    """An observer whose range was chosen before.

    Args:
        name: of the value.
        value_range: its least and its greatest number.

    Attributes:
        fake_quant_enabled: values are rounded as INT8 will round them.
    """

    def __init__(self, name: str, value_range: Range) -> None:
        super().__init__(name)
        self.value_range = value_range
        self.fake_quant_enabled = False

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        if not self.fake_quant_enabled:
            return x
        return torch.fake_quantize_per_tensor_affine(x, *self.parameters(), 0, 255)

    def range(self) -> Range:
        """The range that was given."""
        return self.value_range


class WeightObserver(ObserverBase):  # type: ignore[misc]
    """The scales of a weight.

    Args:
        name: of the layer.
        weight_range: least and greatest integer.
        scales: [out_channels], where they were chosen before; otherwise they follow from the weight.

    Attributes:
        step: scale of the layer's output over that of its input, or None while those are not aligned.
    """

    def __init__(
        self, name: str, weight_range: tuple[int, int], scales: Sequence[float] | None = None
    ) -> None:
        super().__init__(dtype=torch.int8)
        self.quant_min, self.quant_max = weight_range
        self.qscheme, self.ch_axis = torch.per_channel_symmetric, 0
        self.name = name
        self.step: float | None = None
        self._scales = None if scales is None else torch.tensor(scales)

    def scales(self, weight: Tensor) -> Tensor:
        """Scales [out_channels] of a weight [out_channels, ...]."""
        return weight_scales(weight, (self.quant_min, self.quant_max), self.step)

    def forward(self, x: Tensor) -> Tensor:
        """[out_channels, ...] -> the same; the first weight counts: one that is rounded may have shrunk."""
        if self._scales is None:
            self._scales = self.scales(x)
        return x

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scales and zero points in the form that PT2E reads."""
        assert self._scales is not None  # PT2E runs the weights through their observers first
        return self._scales, torch.zeros(len(self._scales), dtype=torch.int64)


class HistogramObserver(ActivationObserver):
    """Minimum, maximum and histogram of a value, in memory that does not grow with the data.

    The histogram covers [-2^k, 2^k]. A larger value makes k grow, and two neighbouring bins become one,
    so its counts stay exact whatever the order of the batches. torchao's own HistogramObserver interpolates
    instead, and its result depends on that order.

    Args:
        name: of the value.

    Attributes:
        observer_enabled: batches are counted.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.low, self.high = 0.0, 0.0
        self.exponent = 0
        self.observer_enabled = True
        self.counts = torch.zeros(_BINS, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        """Count a batch of any shape; returns it unchanged."""
        if not self.observer_enabled:
            return x
        entries = x.detach().flatten()
        low, high = (float(limit) for limit in torch.aminmax(entries))
        if not (abs(low) < float("inf") and abs(high) < float("inf")):
            raise ModelFileError(
                f"The network computes values that are not finite in '{self.name}': its weights or its "
                "calibration windows are damaged; train it again."
            )
        self.low, self.high = min(self.low, low), max(self.high, high)
        while max(-low, high) > 2.0**self.exponent:
            self._widen()
        if len(entries) > _BINS * _STRIDE:
            entries = entries[::_STRIDE]
        limit = 2.0**self.exponent
        self.counts += torch.histc(entries, _BINS, -limit, limit).double()
        return x

    def _widen(self) -> None:
        pairs = self.counts.reshape(-1, 2).sum(1)
        self.counts = torch.zeros_like(self.counts)
        self.counts[_BINS // 4 : 3 * _BINS // 4] = pairs
        self.exponent += 1

    def centres(self) -> Tensor:
        """The centre of each bin, float64 [bins]."""
        limit = 2.0**self.exponent
        return torch.arange(_BINS, dtype=torch.float64).add(0.5).mul(2 * limit / _BINS).sub(limit)

    def range(self) -> Range:
        """Minimum and maximum, zero included."""
        return self.low, self.high


def minmax(observer: HistogramObserver) -> Range:
    """From the minimum to the maximum."""
    return observer.range()


def percentile(observer: HistogramObserver) -> Range:
    """All but the most extreme activations on either side (Wu et al., arXiv 2004.09602)."""
    share = observer.counts.cumsum(0) / observer.counts.sum()
    centres = observer.centres()
    low = centres[int((share < _OUTSIDE).sum())]
    high = centres[int((share < 1 - _OUTSIDE).sum())]
    return max(observer.low, min(float(low), 0.0)), min(observer.high, max(float(high), 0.0))


def mse(observer: HistogramObserver) -> Range:
    """The range with the least mean square error of rounding and clipping; its low end is chosen first."""
    used = observer.counts > 0
    counts, values = observer.counts[used], observer.centres()[used]

    def error(candidate: Range) -> float:
        return _square_error(candidate, values, counts)

    low, _ = min(((observer.low * shrink, observer.high) for shrink in _SHRINKS), key=error)
    return min(((low, observer.high * shrink) for shrink in _SHRINKS), key=error)


def _square_error(value_range: Range, values: Tensor, counts: Tensor) -> float:
    scale, zero_point = activation_parameters(value_range)
    levels = (values / scale).round().add(zero_point).clamp(0, 255)
    return float((((levels - zero_point) * scale - values).square() * counts).sum())


OBSERVERS: dict[str, Callable[[HistogramObserver], Range]] = {
    "percentile": percentile,
    "mse": mse,
    "minmax": minmax,
}
DEFAULT_OBSERVER = "percentile"  # where no verification windows decide: QAT's start, the sensitivity ranking
