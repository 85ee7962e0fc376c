"""Which values INT8 hurts: each one quantized alone, and the noise that this makes in the logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from train.quantization.conversion import Ranges, prepare
from train.quantization.fake_quantize import FakeActivation, FakeWeight
from train.quantization.quantizer import Scheme

_WINDOWS = 32
_SILENT = 99.0  # dB; what makes no difference at all


@dataclass(frozen=True)
class Sensitivity:
    """What quantizing one value, and the weight that makes it, does to the logits.

    Attributes:
        name: of the value, for ``--keep-float``.
        sqnr_db: power of the logits over the power of their error, dB.
    """

    name: str
    sqnr_db: float


def rank_values(network: nn.Module, windows: Tensor, ranges: Ranges, scheme: Scheme) -> list[Sensitivity]:
    """Every value that the scheme makes integer, the most sensitive first.

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
    everything = [*values.values(), *weights.values()]
    for quantizer in everything:
        quantizer.switch(observe=False, quantize=False)
    with torch.no_grad():
        wanted = prepared(x)
        rows = []
        for name, value in values.items():
            alone = [value, *([weights[name]] if name in weights else [])]
            for quantizer in alone:
                quantizer.switch(observe=False, quantize=True)
            rows.append(Sensitivity(name, sqnr_db(wanted, prepared(x))))
            for quantizer in alone:
                quantizer.switch(observe=False, quantize=False)
    return sorted(rows, key=lambda row: row.sqnr_db)


def sqnr_db(wanted: Tensor, got: Tensor) -> float:
    """Signal to quantization noise ratio, dB."""
    noise = float((got - wanted).double().square().mean())
    signal = float(wanted.double().square().mean())
    return min(_SILENT, 10 * math.log10(signal / noise)) if noise and signal else _SILENT
