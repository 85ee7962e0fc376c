"""The numpy reference of the integer operators: every C kernel gives the same bytes.

ARITHMETIC.md is its description in words. Arrays are int64 [batch, height, width, channels].
"""

from __future__ import annotations

import math
from functools import singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt

from export.c.fixed_point import Integers
from export.c.operators import (
    FRACTION,
    SUM_FRACTION,
    Add,
    Affine,
    Channels,
    Clamp,
    Convolution,
    Lookup,
    MaxPool,
    Mean,
    Network,
    Operator,
    Reshape,
    ResidualNorm,
    ResponseNorm,
    Tensor,
    results_of,
    sources_of,
)

_HALF = 1 << (FRACTION - 1)


def logits(network: Network, log_mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Run a network: float32 [batch, 1, n_mels, frames] -> float32 [batch, classes]."""
    integers = run(network, quantize(network.log_mel, log_mel))[network.logits.name]
    steps = (integers[:, 0, 0] - network.logits.zero).astype(np.float32)
    return steps * np.float32(network.logits.scale)


def quantize(tensor: Tensor, log_mel: npt.NDArray[np.float32]) -> Integers:
    """ONNX's QuantizeLinear of the input: [batch, 1, n_mels, frames] -> [batch, n_mels, frames, 1]."""
    steps = np.rint(np.clip(log_mel / np.float32(tensor.scale), -512, 512)) + tensor.zero
    integers: Integers = np.clip(steps, 0, 255).astype(np.int64).transpose(0, 2, 3, 1)
    return integers


def run(network: Network, log_mel: Integers) -> dict[str, Integers]:
    """All tensors of a network by name, from its quantized input."""
    values = {network.log_mel.name: log_mel}
    for operator in network.operators:
        results = execute(operator, *(values[tensor.name] for tensor in sources_of(operator)))
        arrays = results if isinstance(results, tuple) else (results,)
        values.update({t.name: array for t, array in zip(results_of(operator), arrays, strict=True)})
    return values


@singledispatch
def execute(operator: Operator, *sources: Integers) -> Any:
    """Compute the results of an operator from its sources."""
    raise TypeError(type(operator).__name__)


def _clamp(values: Integers, clamp: Clamp) -> Integers:
    clamped: Integers = np.clip(values, clamp.low, clamp.high)
    return clamped


@execute.register
def _(conv: Convolution, x: Integers) -> Integers:
    top, left, bottom, right = conv.pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=conv.source.zero)
    (high, wide), (down, along) = conv.kernel, conv.strides
    height, width = conv.result.shape[:2]
    sums = np.zeros((len(x), *conv.result.shape), np.float64)  # exact: below 2^53
    for row, column in np.ndindex(high, wide):
        taps = padded[:, row::down, column::along][:, :height, :width].astype(np.float64)
        if conv.depthwise:
            sums += taps * conv.weight[row, column]
        else:
            sums += taps @ conv.weight[:, row, column].T.astype(np.float64)
    accumulator = sums.astype(np.int64) + conv.bias
    return _clamp(conv.factor.scale(accumulator) + conv.result.zero, conv.clamp)


@execute.register
def _(add: Add, first: Integers, second: Integers) -> Integers:
    return _clamp(add.sum.scale(first, second), add.clamp)


@execute.register
def _(affine: Affine, first: Integers, second: Integers, offset: Integers | int = 0) -> Integers:
    product = (first - affine.first.zero) * (second - affine.second.zero)
    integers = np.clip(affine.factor.scale(product) + affine.product, 0, 255)
    return _clamp(affine.sum.scale(integers, offset), affine.clamp)


@execute.register
def _(mean: Mean, x: Integers) -> Integers:
    steps = x - mean.source.zero
    if mean.square is not None:
        steps = np.minimum(mean.square.scale(steps * steps), 255)
    sums = steps.sum(axis=tuple(axis + 1 for axis in mean.axes), keepdims=True)
    return _clamp(mean.factor.scale(sums) + mean.result.zero, mean.clamp)


@execute.register
def _(lookup: Lookup, x: Integers) -> Integers:
    return lookup.table[x].astype(np.int64)


@execute.register
def _(norm: ResponseNorm, x: Integers) -> Integers:
    below = (x.sum(axis=3, keepdims=True) << SUM_FRACTION) + norm.floor
    ratio = ((abs(norm.gain) * x) << SUM_FRACTION) // below
    value = norm.one + (ratio if norm.gain >= 0 else -ratio)
    factors: Integers = np.clip((value + _HALF) >> FRACTION, 0, 255)
    return factors


@execute.register
def _(norm: ResidualNorm, mean: Integers, energy: Integers) -> tuple[Integers, Integers]:
    m, e = mean - norm.mean_of.zero, energy - norm.energy_of.zero
    variance = np.maximum(norm.energy * e - norm.mean * m * m, 0) + norm.floor
    root = np.vectorize(math.isqrt, otypes=[np.int64])(variance)
    numerators = norm.scale_step, norm.offset_step * np.abs(m)
    inverse, ratio = ((numerator << (norm.bits // 2)) // root for numerator in numerators)
    scale = np.clip((norm.scale_constant + inverse + _HALF) >> FRACTION, 0, 255)
    offset = np.clip(((_HALF - np.sign(m) * ratio) >> FRACTION) + norm.offset.zero, 0, 255)
    return scale, offset


@execute.register
def _(pool: MaxPool, x: Integers) -> Integers:
    (high, wide), (down, along) = pool.kernel, pool.strides
    height, width = pool.result.shape[:2]
    taps = [x[:, row::down, column::along][:, :height, :width] for row, column in np.ndindex(high, wide)]
    greatest: Integers = np.maximum.reduce(taps)
    return greatest


@execute.register
def _(channels: Channels, *sources: Integers) -> Integers:
    return np.stack([sources[source][..., channel] for source, channel in channels.places], axis=-1)


@execute.register
def _(reshape: Reshape, x: Integers) -> Integers:
    return x.reshape(len(x), *reshape.result.shape)
