"""The integer operators of a network: what the parser makes, the reference executes and the C code runs.

A tensor is uint8 of height (mels), width (frames) and channels, channels innermost. Every operator writes
one new tensor, or another view of the bytes of one. ARITHMETIC.md defines what each computes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from export.c.fixed_point import Factor, Integers, Sum

Table = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Tensor:
    """A quantized tensor.

    Attributes:
        name: as in the .onnx file where it stands there.
        height, width, channels: of the uint8 array, channels innermost.
        scale: real value of one step.
        zero: integer that stands for 0.
    """

    name: str
    height: int
    width: int
    channels: int
    scale: float
    zero: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.channels

    @property
    def size(self) -> int:
        """Bytes."""
        return self.height * self.width * self.channels


@dataclass(frozen=True)
class Clamp:
    """Least and greatest integer of a result; the least is its zero point where a ReLU is fused."""

    low: int
    high: int = 255


@dataclass(frozen=True, eq=False)
class Convolution:
    """A dense or a depthwise convolution with its requantization.

    Attributes:
        source, result: tensors.
        weight: int8 [out, kernel height, kernel width, in] if dense, [kernel height, kernel width, channels]
            if depthwise.
        bias: int64 [out], of int32 range; the zero point of the source is folded into it.
        factor: from accumulator to result, one for each output channel.
        strides: along height and width.
        pads: top, left, bottom, right; padding has the zero point of the source.
        clamp: of the result.
    """

    source: Tensor
    result: Tensor
    weight: npt.NDArray[np.int8]
    bias: Integers
    factor: Factor
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    clamp: Clamp

    @property
    def depthwise(self) -> bool:
        """Whether every channel is convolved by itself."""
        return self.weight.ndim == 3

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.weight.shape[:2] if self.depthwise else self.weight.shape[1:3]
        return height, width

    @property
    def pointwise(self) -> bool:
        """Whether each output position depends on the input position of the same index alone."""
        return not self.depthwise and self.kernel == (1, 1) and self.strides == (1, 1) and not any(self.pads)


@dataclass(frozen=True)
class Add:
    """The sum of two tensors; the second may have one entry along an axis of the first."""

    first: Tensor
    second: Tensor
    result: Tensor
    sum: Sum
    clamp: Clamp


@dataclass(frozen=True)
class Affine:
    """``first * second``, requantized, plus a tensor or a constant: the end of GRN and of ResNorm.

    Attributes:
        first: a feature map.
        second: its factors, with one entry along some axes.
        offset: added after; None for a constant, which the sum holds.
        result: tensor.
        product: zero point of the product.
        factor: from the product of the integers to the integer of the product.
        sum: of product and offset.
        clamp: of the result.
    """

    first: Tensor
    second: Tensor
    offset: Tensor | None
    result: Tensor
    product: int
    factor: Factor
    sum: Sum
    clamp: Clamp


@dataclass(frozen=True)
class Mean:
    """The mean over axes, optionally of squares.

    Attributes:
        source, result: tensors; the result has one entry along the axes.
        axes: of (height, width, channels) = (0, 1, 2).
        square: from the square of ``integer - zero`` to the integer of the square, or None.
        factor: from the sum of the integers to the result.
        clamp: of the result.
    """

    source: Tensor
    result: Tensor
    axes: tuple[int, ...]
    square: Factor | None
    factor: Factor
    clamp: Clamp


@dataclass(frozen=True, eq=False)
class Lookup:
    """A function of one integer, as a table of its 256 results."""

    source: Tensor
    result: Tensor
    table: Table


@dataclass(frozen=True)
class ResponseNorm:
    """GRN's statistic: ``one + gain * q / (sum of q + floor)`` for each channel.

    Attributes:
        source, result: tensors of one position; the zero point of the source is 0.
        one: the constant, in steps of the result, with `FRACTION` bits.
        gain: channels times gamma, in steps of the result, with `FRACTION` bits.
        floor: channels times epsilon, in steps of the source, with `SUM_FRACTION` bits; at least 1.
    """

    source: Tensor
    result: Tensor
    one: int
    gain: int
    floor: int


@dataclass(frozen=True)
class ResidualNorm:
    """ResNorm's statistics: from mean m and mean square e of a mel band, ``s = 1 / sqrt(variance)``.

    The variance is ``energy * (e - zero) - mean * (m - zero)**2``, at least 0, plus ``floor``, with a
    binary point that ``bits`` tells: even, so that its square root has ``bits / 2`` of them.

    Attributes:
        mean_of, energy_of: the statistics m and e.
        scale, offset: results: ``constant + s`` and ``-m * s``.
        energy, mean, floor: integer coefficients of the variance.
        bits: of it after the binary point.
        scale_step: s in steps of ``scale``, with `FRACTION` bits.
        scale_constant: the constant in steps of ``scale``, with `FRACTION` bits.
        offset_step: s times a step of m in steps of ``offset``, with `FRACTION` bits.
    """

    mean_of: Tensor
    energy_of: Tensor
    scale: Tensor
    offset: Tensor
    energy: int
    mean: int
    floor: int
    bits: int
    scale_step: int
    scale_constant: int
    offset_step: int


@dataclass(frozen=True)
class MaxPool:
    """The greatest integer under a window, without padding."""

    source: Tensor
    result: Tensor
    kernel: tuple[int, int]
    strides: tuple[int, int]


@dataclass(frozen=True)
class Channels:
    """Channels of one or more tensors in another order: shuffle, split and concatenation.

    Attributes:
        sources: tensors of one height and width.
        result: tensor.
        places: for every channel of the result, which source and which of its channels.
    """

    sources: tuple[Tensor, ...]
    result: Tensor
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Reshape:
    """The same bytes as a tensor of another shape."""

    source: Tensor
    result: Tensor


FRACTION = 20  # bits after the binary point of statistics
SUM_FRACTION = 12  # of the sum that GRN divides by

Operator = (
    Convolution | Add | Affine | Mean | Lookup | ResponseNorm | ResidualNorm | MaxPool | Channels | Reshape
)


@dataclass(frozen=True)
class Network:
    """A network of integer operators.

    Attributes:
        log_mel: the quantized input, [mels, frames, 1].
        logits: the quantized output, [1, 1, classes].
        operators: in the order of execution.
    """

    log_mel: Tensor
    logits: Tensor
    operators: tuple[Operator, ...] = field(repr=False)


def sources_of(operator: Operator) -> tuple[Tensor, ...]:
    """The tensors that an operator reads."""
    if isinstance(operator, Add):
        return operator.first, operator.second
    if isinstance(operator, Affine):
        tail = () if operator.offset is None else (operator.offset,)
        return operator.first, operator.second, *tail
    if isinstance(operator, ResidualNorm):
        return operator.mean_of, operator.energy_of
    if isinstance(operator, Channels):
        return operator.sources
    return (operator.source,)


def results_of(operator: Operator) -> tuple[Tensor, ...]:
    """The tensors that an operator writes."""
    if isinstance(operator, ResidualNorm):
        return operator.scale, operator.offset
    return (operator.result,)
