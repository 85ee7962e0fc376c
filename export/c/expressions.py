"""Float expressions between the integers of an INT8 graph: what a QuantizeLinear node quantizes.

An INT8 file computes every integer tensor as quantize(f(dequantize(a), dequantize(b), ...)). The parser
builds f as a tree whose leaves are integer tensors and constants, and `export.c.patterns` finds the integer
operator that computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Integers:
    """Integer values and what one of them means.

    Attributes:
        places: int64 [..., 2]: for every channel, which tensor and which of its channels. More than one axis
            before the last is a view of channels in groups, as a shuffle takes it.
        scale, zero: of all of them.
        shape: of the ONNX tensor, [batch, channels, height, width] for a feature map.
        channels_last: whether the ONNX tensor is in the order of memory.
        flat: whether it is a feature map whose positions have become channels; a Gemm reads it as a map.
    """

    places: npt.NDArray[np.int64]
    scale: float
    zero: int
    shape: tuple[int, ...]
    channels_last: bool = False
    flat: bool = False


@dataclass(frozen=True, eq=False)
class Expression:
    """A node of the tree.

    Attributes:
        operator: an ONNX operator, ``integers`` or ``constant``.
        name: of the ONNX tensor.
        arguments: of the operator.
        attributes: of the ONNX node.
        integers: of a leaf.
        constant: of a leaf: float32, or what a QuantizeLinear of the file gives for it.
    """

    operator: str
    name: str
    arguments: tuple[Expression, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    integers: Integers | None = None
    constant: npt.NDArray[Any] | None = None

    def leaves(self) -> Iterator[Expression]:
        """The leaves, with repetitions."""
        if not self.arguments:
            yield self
        for argument in self.arguments:
            yield from argument.leaves()


_ELEMENTWISE: dict[str, Callable[..., Float32]] = {
    "Add": np.add,
    "Div": np.divide,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Reciprocal": lambda x: np.float32(1) / x,
    "Relu": lambda x: np.maximum(x, np.float32(0)),
    "Sigmoid": lambda x: (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32),
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
}


def tabulate(expression: Expression) -> Float32 | None:
    """The values of an elementwise expression of one integer tensor, for its 256 integers; else None.

    Constants have one entry. The arithmetic is float32, as in ONNX.
    """
    leaves = {id(leaf.integers): leaf.integers for leaf in expression.leaves() if leaf.integers is not None}
    if len(leaves) != 1:
        return None
    return _tabulate(expression)


def _tabulate(expression: Expression) -> Float32 | None:
    if expression.integers is not None:
        steps = np.arange(256, dtype=np.float32) - np.float32(expression.integers.zero)
        return steps * np.float32(expression.integers.scale)
    if expression.constant is not None:
        return expression.constant.astype(np.float32).ravel() if expression.constant.size == 1 else None
    arguments = [_tabulate(argument) for argument in expression.arguments]
    if expression.operator not in _ELEMENTWISE or any(argument is None for argument in arguments):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):  # at integers that do not occur
        return _ELEMENTWISE[expression.operator](*arguments)


def without_relu(expression: Expression) -> tuple[Expression, bool]:
    """The expression under its ReLUs, and whether there was one."""
    found = False
    while expression.operator == "Relu":
        expression, found = expression.arguments[0], True
    return expression, found


def split_constant(expression: Expression) -> tuple[Expression, float] | None:
    """The other argument of a commutative operator, and its argument that is one number; else None."""
    for value, other in (expression.arguments, expression.arguments[::-1]):
        if other.constant is not None and other.constant.size == 1:
            return value, float(other.constant.ravel()[0])
    return None
