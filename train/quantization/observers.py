"""Ranges from data in one pass and constant memory: a histogram of a value serves every way to choose."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from runtime.errors import ModelFileError
from train.quantization.qparams import Range, activation_parameters
from train.quantization.quantizer import Observer

_BINS = 4096
_STRIDE = 7  # of large maps every 7th entry is counted: coprime to the frames, so no column is favoured
_OUTSIDE = 1e-4  # share of the activations that `percentile` clips on either side
_SHRINKS = [1.0 - 0.02 * step for step in range(31)]  # clipping limits that `mse` tries


class RangeObserver(Observer):
    """Minimum, maximum and histogram of a value, in memory that does not grow with the data.

    The histogram covers [-2^k, 2^k]. A larger value makes k grow, and two neighbouring bins become one,
    so its counts stay exact whatever the order of the batches.

    Args:
        name: of the value.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.low, self.high = 0.0, 0.0
        self.exponent = 0
        self.counts = torch.zeros(_BINS, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        """Count a batch of any shape; returns it as it is."""
        entries = x.detach().flatten()
        low, high = (float(limit) for limit in torch.aminmax(entries))
        if not (abs(low) < float("inf") and abs(high) < float("inf")):
            raise ModelFileError(
                f"The network gives values that are not finite in '{self.name}': its weights or its "
                "calibration windows are damaged; train it again."
            )
        self.low, self.high = min(self.low, low), max(self.high, high)
        while max(-low, high) > 2.0**self.exponent:
            self._grow()
        if len(entries) > _BINS * _STRIDE:
            entries = entries[::_STRIDE]
        limit = 2.0**self.exponent
        self.counts += torch.histc(entries, _BINS, -limit, limit).double()
        return x

    def _grow(self) -> None:
        pairs = self.counts.reshape(-1, 2).sum(1)
        self.counts = torch.zeros_like(self.counts)
        self.counts[_BINS // 4 : 3 * _BINS // 4] = pairs
        self.exponent += 1

    def centres(self) -> Tensor:
        """The value that each bin stands for, float64 [bins]."""
        limit = 2.0**self.exponent
        return torch.arange(_BINS, dtype=torch.float64).add(0.5).mul(2 * limit / _BINS).sub(limit)

    def range(self) -> Range:
        """Every value that was seen, and zero."""
        return self.low, self.high


def minmax(observer: RangeObserver) -> Range:
    """All that was seen."""
    return observer.range()


def percentile(observer: RangeObserver) -> Range:
    """All but the most extreme activations on either side (Wu et al., arXiv 2004.09602)."""
    share = observer.counts.cumsum(0) / observer.counts.sum()
    centres = observer.centres()
    low = centres[int((share < _OUTSIDE).sum())]
    high = centres[int((share < 1 - _OUTSIDE).sum())]
    return max(observer.low, min(float(low), 0.0)), min(observer.high, max(float(high), 0.0))


def mse(observer: RangeObserver) -> Range:
    """The range whose rounding and clipping err least in the mean square; its low end is chosen first."""
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


# in the order in which they are tried
OBSERVERS: dict[str, Callable[[RangeObserver], Range]] = {
    "percentile": percentile,
    "mse": mse,
    "minmax": minmax,
}
FIRST_OBSERVER = next(iter(OBSERVERS))
