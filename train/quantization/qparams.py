"""Scales and zero points of INT8, chosen so that integer and float32 arithmetic round alike.

An integer kernel requantizes a sum of products by one multiplication. torch, and ONNX Runtime without
optimizations, compute the same sum in float32 and divide it by the step. Near a tie, halfway between two
steps, the two can round differently: a few sums in a million, which later layers amplify. So wherever a
result is requantized, the ratio of the scales is a fraction with an odd denominator d. The result of an
operation on integers is then a multiple of 1/d, at least 1/2d away from every tie, and d is small enough that
the error of float32 is below that distance; that of a long sum is not, so export lets means read integers
(`export.passes.integer_operators.average_integers`). The input, and every value that float arithmetic
computes, has a power of two as its scale: division by it is as exact as multiplication by its inverse.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Range = tuple[float, float]

SUM_PARTS = 127  # denominator of sums: the same for all operands, or the sum is no multiple of 1/d

_LEVELS = 255
_DENOMINATOR = 1023  # the greatest, except for ratios below 1/1023
_LEAST_SCALE = 1e-8
_WEIGHT_FLOOR = 1e-4  # of the largest scale: a channel so much smaller is as good as constant


def activation_parameters(value_range: Range, scale: float | None = None) -> tuple[float, int]:
    """Scale and zero point of uint8 for values in a range; zero is always representable.

    Args:
        value_range: the least and the greatest value.
        scale: one that was chosen before; then the range gives the zero point only.

    Raises:
        ValueError: where the range is not finite.
    """
    low, high = min(value_range[0], 0.0), max(value_range[1], 0.0)
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise ValueError(f"the range {value_range} is not finite")
    # float32 is the type of scales in the graph
    scale = float(torch.tensor(scale or max((high - low) / _LEVELS, _LEAST_SCALE), dtype=torch.float32))
    return scale, min(_LEVELS, max(0, round(-low / scale)))


def weight_scales(weight: Tensor, weight_range: tuple[int, int], step: float | None = None) -> Tensor:
    """Symmetric scales [out_channels] of a weight [out_channels, ...].

    Args:
        weight: of a layer, batch norm folded into it.
        weight_range: least and greatest integer.
        step: scale of the layer's output over that of its input, where both are chosen; then no sum of the
            layer lies near a tie.
    """
    scales = weight.detach().abs().flatten(1).amax(1) / weight_range[1]
    scales = torch.maximum(scales, scales.max() * _WEIGHT_FLOOR).clamp(min=1e-12)
    if step is None:
        return scales
    # below 1/d of the step even the largest weight moves the output by less than a few steps
    ratios = (scales.double() / step).clamp(min=1 / _DENOMINATOR)
    return (off_ties(ratios) * step).float()


def off_ties(ratio: Tensor) -> Tensor:
    """A fraction with an odd denominator that is at least a positive ratio, by less than 1 % above it."""
    numerator = (ratio * _DENOMINATOR).floor().clamp(min=1)
    denominator = 2 * ((numerator / ratio - 1) / 2).floor() + 1
    return numerator / denominator.clamp(min=1)


def whole_parts(ratio: float) -> float:
    """The least multiple of 1/`SUM_PARTS` that is at least a ratio."""
    return math.ceil(ratio * SUM_PARTS) / SUM_PARTS


def power_of_two(scale: float) -> float:
    """The least power of two that clips at most a sixteenth of the range of a scale."""
    return float(2.0 ** math.ceil(math.log2(scale * 15 / 16)))
