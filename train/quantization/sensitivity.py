"""The sensitivity of each value to INT8: it is quantized alone, and the noise in the logits is measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from train.quantization.conversion import Network, Ranges, prepare
from train.quantization.qat.fake_quantize import FakeActivation, FakeWeight
from train.quantization.quantizer import Scheme

_WINDOWS = 32
_NOISELESS = 99.0  # dB; where there is no difference at all


@dataclass(frozen=True)
class Sensitivity:
    """The effect on the logits of quantizing one value and the weight of the layer that computes it.

    Attributes:
        name: of the value, for ``--keep-float``.
        sqnr_db: power of the logits over the power of their error, dB.
    """

    name: str
    sqnr_db: float


def rank_values(network: Network, windows: Tensor, ranges: Ranges, scheme: Scheme) -> list[Sensitivity]:
    """Every value that the scheme quantizes, the most sensitive first.

    Args:
        network: in eval mode.
        windows: log-mels [n, 1, n_mels, frames]; a part of them is used.
        ranges: of the values.
        scheme: what varies.
    """
    x = windows[:: max(1, len(windows) // _WINDOWS)].float()
    prepared = prepare(network, tuple(x.shape), scheme, FakeActivation, FakeWeight)
    values = {m.name: m for m in prepared.modules() if isinstance(m, FakeActivation)}
    weights = {m.name: m for m in prepared.modules() if isinstance(m, FakeWeight)}
    for name, value in values.items():
        value.set_range(ranges[name])
        value.observer_enabled = False
    quantizers: list[FakeActivation | FakeWeight] = [*values.values(), *weights.values()]
    for quantizer in quantizers:
        quantizer.fake_quant_enabled = False
    found = []
    with torch.no_grad():
        expected = prepared(x)
        for name in values:
            alone = [quantizer for quantizer in quantizers if quantizer.name == name]
            for quantizer in alone:
                quantizer.fake_quant_enabled = True
            found.append(Sensitivity(name, sqnr_db(expected, prepared(x))))
            for quantizer in alone:
                quantizer.fake_quant_enabled = False
    return sorted(found, key=lambda one: one.sqnr_db)


def sqnr_db(expected: Tensor, actual: Tensor) -> float:
    """Signal to quantization noise ratio, dB."""
    noise = float((actual - expected).double().square().mean())
    signal = float(expected.double().square().mean())
    return min(_NOISELESS, 10 * math.log10(signal / noise)) if noise and signal else _NOISELESS
