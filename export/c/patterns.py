"""Which integer operator computes a float expression: one function for each kind of expression."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from export.c.expressions import Expression, split_constant
from export.c.fixed_point import ACCUMULATOR_LIMIT, Factor, Sum
from export.c.operators import (
    FRACTION,
    SUM_FRACTION,
    Add,
    Affine,
    Channels,
    Clamp,
    Convolution,
    Mean,
    Operator,
    ResidualNorm,
    ResponseNorm,
    Tensor,
)

TensorOf = Callable[[Expression], Tensor]  # the tensor of a leaf
_VARIANCE_BITS = 62  # of ResNorm's int64


@dataclass(frozen=True)
class Product:
    """An integer tensor that is a product, until it is known what is added to it.

    Attributes:
        first, second: what is multiplied; the first is the feature map.
        tensor: of the product.
    """

    first: Tensor
    second: Tensor
    tensor: Tensor


def convolution(expression: Expression, result: Tensor, clamp: Clamp, tensor_of: TensorOf) -> list[Operator]:
    """A convolution; a grouped one becomes a depthwise one of repeated channels, or a dense one."""
    x, weights, *bias = expression.arguments
    assert weights.constant is not None
    weight, scales = weights.constant, np.asarray(weights.attributes["scale"], np.float64)
    groups = int(expression.attributes.get("group", 1))
    source, operators = tensor_of(x), []
    if groups > 1 and weight.shape[1] == 1:
        if weight.shape[0] != groups:
            places = tuple((0, channel * groups // weight.shape[0]) for channel in range(weight.shape[0]))
            height, width, _ = source.shape
            name = f"{result.name}:input"
            repeated = Tensor(name, height, width, len(places), source.scale, source.zero)
            operators.append(Channels((source,), repeated, places))
            source = repeated
        integers, axes = weight[:, 0].transpose(1, 2, 0), tuple(range(2))
    else:
        integers, axes = _dense(weight, groups).transpose(0, 2, 3, 1), tuple(range(1, 4))
    integers = np.ascontiguousarray(integers)
    accumulated = np.zeros(len(weight), np.int64) if not bias else _integers(bias[0])
    accumulated = accumulated - source.zero * integers.sum(axis=axes, dtype=np.int64)
    if (
        np.abs(accumulated) + 255 * np.abs(integers.astype(np.int64)).sum(axis=axes)
    ).max() > ACCUMULATOR_LIMIT:
        raise ValueError("sums that int32 cannot hold")
    top, left, bottom, right = expression.attributes.get("pads", (0, 0, 0, 0))
    down, along = expression.attributes.get("strides", (1, 1))
    factor = Factor.of(scales * source.scale / result.scale)
    conv = Convolution(
        source, result, integers, accumulated, factor, (down, along), (top, left, bottom, right), clamp
    )
    return [*operators, conv]


def _integers(bias: Expression) -> np.ndarray:
    assert bias.constant is not None
    return bias.constant.astype(np.int64)


def _dense(weight: np.ndarray, groups: int) -> np.ndarray:
    """The weight of a grouped convolution as that of a dense one, with zeros between the groups."""
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    dense = np.zeros((weight.shape[0], groups * inputs, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        dense[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    return dense


def mean(source: Tensor, result: Tensor, clamp: Clamp, axes: tuple[int, ...]) -> Mean:
    """A mean over axes of (height, width, channels)."""
    count = math.prod(source.shape[axis] for axis in axes)
    return Mean(source, result, axes, None, Factor.of(source.scale / (result.scale * count)), clamp)


def addition(first: Tensor, second: Tensor, result: Tensor, clamp: Clamp) -> Add:
    """A sum of two tensors, of which one may be broadcast."""
    if first.size < second.size:
        first, second = second, first
    ratios = [(tensor.scale / result.scale, tensor.zero) for tensor in (first, second)]
    return Add(first, second, result, Sum.of(ratios[0], ratios[1], result.zero), clamp)


def affine(
    product: Product, result: Tensor, clamp: Clamp, offset: Tensor | None, constant: float = 0.0
) -> Affine:
    """A product plus a tensor or a constant."""
    of, step = product.tensor, result.scale
    second = (0.0, 0) if offset is None else (offset.scale / step, offset.zero)
    return Affine(
        product.first, product.second, offset, result, of.zero,
        Factor.of(product.first.scale * product.second.scale / of.scale),
        Sum.of((of.scale / step, of.zero), second, result.zero, constant / step), clamp,
    )  # fmt: skip


def response_norm(expression: Expression, result: Tensor, tensor_of: TensorOf) -> ResponseNorm | None:
    """GRN's ``1 + gamma * x / (mean(x) + epsilon)`` over channels."""
    if expression.operator != "Add" or (outer := split_constant(expression)) is None:
        return None
    scaled, one = outer
    if scaled.operator != "Mul" or (inner := split_constant(scaled)) is None:
        return None
    ratio, gamma = inner
    if ratio.operator != "Div" or ratio.arguments[1].operator != "Add":
        return None
    x, below = ratio.arguments[0], split_constant(ratio.arguments[1])
    if below is None or below[0].operator != "ReduceMean" or axes_of(below[0]) != (1,):
        return None
    if x.integers is None or below[0].arguments[0].integers is not x.integers or x.integers.zero:
        return None
    source = tensor_of(x)
    per_step = 2**FRACTION / result.scale
    floor = max(1, round(below[1] * source.channels / source.scale * 2**SUM_FRACTION))
    gain = round(gamma * source.channels * per_step)
    return ResponseNorm(source, result, round(one * per_step) + (result.zero << FRACTION), gain, floor)


@dataclass(frozen=True)
class InverseDeviation:
    """``1 / sqrt(relu(e - m * m) * factor + epsilon)`` of two tensors: ResNorm's statistic."""

    mean: Expression
    energy: Expression
    factor: float
    epsilon: float


def inverse_deviation(expression: Expression) -> InverseDeviation | None:
    """Recognize ResNorm's inverse of the standard deviation."""
    if expression.operator != "Reciprocal" or expression.arguments[0].operator != "Sqrt":
        return None
    inside = expression.arguments[0].arguments[0]
    if inside.operator != "Add" or (sum_of := split_constant(inside)) is None:
        return None
    scaled, epsilon = sum_of
    if scaled.operator != "Mul" or (product := split_constant(scaled)) is None:
        return None
    relu, factor = product
    difference = relu.arguments[0] if relu.operator == "Relu" else relu
    if relu.operator != "Relu" or difference.operator != "Sub" or difference.arguments[1].operator != "Mul":
        return None
    energy, (first, second) = difference.arguments[0], difference.arguments[1].arguments
    if first.integers is None or first.integers is not second.integers or energy.integers is None:
        return None
    return InverseDeviation(first, energy, factor, epsilon)


def residual_norm(
    found: InverseDeviation, constant: float, scale: Tensor, offset: Tensor, tensor_of: TensorOf
) -> ResidualNorm:
    """ResNorm's two statistics as one operator."""
    m, e = tensor_of(found.mean), tensor_of(found.energy)
    energy, square = e.scale * found.factor, m.scale**2 * found.factor
    greatest = max(255 * energy + found.epsilon, 255**2 * square)
    offset_step = round(m.scale / offset.scale * 2**FRACTION)
    bits = (_VARIANCE_BITS - 1 - math.ceil(math.log2(greatest))) // 2 * 2
    bits = min(bits, 2 * (_VARIANCE_BITS - math.ceil(math.log2(255 * offset_step))))
    per_step = 2**FRACTION / scale.scale
    return ResidualNorm(
        m, e, scale, offset,
        energy=round(energy * 2**bits), mean=round(square * 2**bits),
        floor=max(1, round(found.epsilon * 2**bits)), bits=bits, scale_step=round(per_step),
        scale_constant=round(constant * per_step) + (scale.zero << FRACTION),
        offset_step=offset_step,
    )  # fmt: skip


def axes_of(expression: Expression) -> tuple[int, ...]:
    """The axes of a ReduceMean."""
    axes = expression.arguments[1].constant
    return () if axes is None else tuple(int(axis) for axis in axes.ravel())
