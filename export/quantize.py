"""Post-training quantization: calibration in one pass and constant memory, then the INT8 twin.

One histogram per value serves every way to choose its range, so trying the next one costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from runtime.errors import ModelFileError
from train.checkpoint import Checkpoint
from train.quantize import PORTABLE, Observer, Range, Ranges, Scheme, activation_parameters, convert, prepare

_BINS = 4096
_STRIDE = 7  # of large maps every 7th entry is counted: coprime to the frames, so no column is favoured
_PERCENTILE = 0.9999  # of all activations stay inside the range
_SHRINKS = [1.0 - 0.02 * step for step in range(31)]  # clipping limits that `mse` tries
_BATCH = 16


class RangeObserver(Observer):
    """Minimum, maximum and histogram of a value, in memory that does not grow with the data.

    The histogram covers [-2^k, 2^k]. A larger value makes k grow, and two neighbouring bins become one,
    so its counts stay exact whatever the order of the batches.

    Args:
        name: of the value.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.low, self.high = 0.0, 0.0
        self.exponent = 0
        self.counts = torch.zeros(_BINS, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        """Count a batch of any shape; returns it as it is."""
        low, high = (float(limit) for limit in torch.aminmax(x.detach()))
        if not (abs(low) < float("inf") and abs(high) < float("inf")):
            raise ModelFileError(
                f"The network gives values that are not finite in '{self.name}': its weights or its "
                "calibration windows are damaged; train it again."
            )
        self.low, self.high = min(self.low, low), max(self.high, high)
        while max(-low, high) > 2.0**self.exponent:
            self._grow()
        limit = 2.0**self.exponent
        sample = x.detach().flatten()
        sample = sample[:: _STRIDE if len(sample) > _BINS * _STRIDE else 1]
        self.counts += torch.histc(sample, _BINS, -limit, limit).double()
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
    inside = (share > 1 - _PERCENTILE) & (share.roll(1).index_fill(0, torch.tensor([0]), 0.0) < _PERCENTILE)
    centres = observer.centres()[inside]
    return max(observer.low, float(centres[0])), min(observer.high, float(centres[-1]))


def mse(observer: RangeObserver) -> Range:
    """The range whose rounding and clipping err least, in the mean square (Banner et al., 2019)."""
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


OBSERVERS: dict[str, Callable[[RangeObserver], Range]] = {
    "minmax": minmax,
    "percentile": percentile,
    "mse": mse,
}


@dataclass(frozen=True)
class Quantized:
    """An INT8 twin and how it was made.

    Attributes:
        network: the twin, a graph that computes logits as the float network does.
        ranges: of its values.
        scheme: what varies in the scheme.
    """

    network: GraphModule
    ranges: Ranges
    scheme: Scheme


def calibrate(network: nn.Module, windows: Tensor) -> dict[str, RangeObserver]:
    """Run calibration windows through a network and observe every value that INT8 needs a range for.

    Args:
        network: in eval mode.
        windows: log-mels [n, 1, n_mels, frames].
    """
    prepared = prepare(network, tuple(windows.shape), PORTABLE, RangeObserver)
    with torch.no_grad():
        for batch in windows.split(_BATCH):
            prepared(batch.float())
    return {module.name: module for module in prepared.modules() if isinstance(module, RangeObserver)}


def quantize(checkpoint: Checkpoint, *, observer: str = "minmax", scheme: Scheme = PORTABLE) -> Quantized:
    """Quantize the student of a model.pt after training.

    Args:
        checkpoint: must hold calibration windows.
        observer: how ranges are chosen, a key of `OBSERVERS`.
        scheme: what varies.

    Raises:
        ModelFileError: where the checkpoint holds no calibration windows.
    """
    if not len(checkpoint.calibration):
        raise ModelFileError(
            "The model.pt holds no calibration windows, which `--quantize ptq` needs: "
            "train it with this release, or export it with `--quantize none`."
        )
    network = checkpoint.build()
    observers = calibrate(network, checkpoint.calibration)
    ranges = {name: OBSERVERS[observer](seen) for name, seen in observers.items()}
    return Quantized(convert(network, checkpoint.input_shape, ranges, scheme), ranges, scheme)
