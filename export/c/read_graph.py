"""The parser: an INT8 .onnx file of this toolkit becomes a `Network` of integer operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import helper

from export.c import moves, patterns
from export.c.expressions import Expression, Integers, split_constant, tabulate, without_relu
from export.c.fixed_point import Factor
from export.c.operators import (
    Channels,
    Clamp,
    Lookup,
    MaxPool,
    Mean,
    Network,
    Operator,
    Reshape,
    Tensor,
)
from export.c.patterns import InverseDeviation, Product
from export.passes.graph_edges import GraphEdges
from runtime.errors import ModelFileError
from runtime.model.session import INPUT, OUTPUT

_STEPS = "steps"  # integers less their zero point, as a mean reads them
_POOLED = {"GlobalAveragePool": (2, 3)}
_AXIS_OF = {2: 0, 3: 1, 1: 2}  # of ONNX's [batch, channels, height, width] in (height, width, channels)


def read_network(model: onnx.ModelProto) -> Network:
    """Parse an INT8 graph.

    Args:
        model: of `export.onnx_graph.to_onnx`: input ``log_mel``, output ``logits``.

    Raises:
        ModelFileError: where the graph is not INT8, or an operator has no counterpart in C; it is named.
    """
    return _Parser(model).network()


class _Parser:
    """The state of a parse: the expression of every ONNX tensor, and the operators so far."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.edges = GraphEdges(model)
        self.operators: list[Operator] = []
        self.tensors: list[Tensor] = []
        self.values = {name: Expression("constant", name, constant=value)
                       for name, value in self.edges.constants.items()}  # fmt: skip
        self.values[INPUT] = Expression("input", INPUT)
        self.log_mel: Tensor | None = None
        self.products: dict[int, Product] = {}  # by number of the tensor, not computed yet
        self.squares: dict[int, tuple[Tensor, Factor]] = {}  # the same
        self.deviations: dict[str, tuple[InverseDeviation, float, Tensor]] = {}
        self.moved: dict[int, Tensor] = {}

    def network(self) -> Network:
        for node in self.edges.nodes:
            self._read(node)
        logits = self.values[OUTPUT]
        if logits.integers is None or self.log_mel is None:
            raise ModelFileError(
                "The C export takes an INT8 file from its input to its logits, and this one ends in float: "
                "export it with `--quantize ptq` or `--quantize qat`."
            )
        result = self._tensor(logits)
        if result.shape[:2] != (1, 1):
            raise ModelFileError(f"The logits have the shape {list(result.shape)}: export the model again.")
        return Network(self.log_mel, result, tuple(self.operators))

    def _read(self, node: onnx.NodeProto) -> None:
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        try:
            inputs = [self.values[name] for name in node.input if name]
            results = self._results(node, inputs, attributes)
        except (moves.MoveError, ValueError, AssertionError, IndexError) as error:
            reason = f" ({error})" if str(error) else ""
            raise _unknown(node.op_type, node.output[0], reason) from error
        except KeyError as error:  # a tensor that is computed, a shape or an attribute
            raise _unknown(node.op_type, node.output[0], f" (the file lacks {error})") from error
        for name, value in zip(node.output, results, strict=True):
            self.values[name] = value

    def _results(
        self, node: onnx.NodeProto, inputs: list[Expression], attributes: dict[str, Any]
    ) -> list[Expression]:
        name = node.output[0]
        if node.op_type == "QuantizeLinear":
            return [self._quantize(node, inputs[0])]
        if node.op_type == "DequantizeLinear":
            return [self._dequantize(node, inputs[0], attributes)]
        move = _MOVES.get(node.op_type)
        if move is not None and inputs[0].integers is not None:
            moved = move(self, inputs, attributes, len(node.output))
            return [Expression("integers", output, integers=value)
                    for output, value in zip(node.output, moved, strict=True)]  # fmt: skip
        return [Expression(node.op_type, name, tuple(inputs), attributes)]

    def _dequantize(self, node: onnx.NodeProto, x: Expression, attributes: dict[str, Any]) -> Expression:
        scale, zero = self.edges.parameters(node)
        if x.integers is not None:
            if (float(scale), int(zero)) == (x.integers.scale, x.integers.zero):
                return x
            if (float(scale), int(zero)) == (1.0, x.integers.zero):
                return Expression(_STEPS, node.output[0], (x,))
            raise ValueError("another scale than it was quantized with")
        assert x.constant is not None
        if x.constant.dtype == np.uint8 and x.constant.size == 1:
            value = (x.constant.astype(np.float32) - np.float32(zero)) * np.float32(scale)
            return Expression("constant", node.output[0], constant=value)
        if zero.any() or (attributes.get("axis", 0) != 0 and scale.size > 1):
            raise ValueError("a weight that is not symmetric per output channel")
        scales = np.broadcast_to(scale, len(x.constant))
        return Expression("constant", node.output[0], attributes={"scale": scales}, constant=x.constant)

    def _quantize(self, node: onnx.NodeProto, x: Expression) -> Expression:
        scale, zero = self.edges.parameters(node)
        if scale.size != 1 or zero.dtype != np.uint8:
            raise ValueError("activations that are not uint8 with one scale")
        parameters, name = (float(scale), int(zero)), node.output[0]
        if x.integers is not None and parameters == (x.integers.scale, x.integers.zero):
            return x
        shape = self.edges.shapes[name]
        if len(shape) == 2:
            shape = [*shape, 1, 1]
        tensor = Tensor(name, shape[2], shape[3], shape[1], *parameters)
        number = len(self.tensors)
        self.tensors.append(tensor)
        if x.operator == "input":
            self.log_mel = tensor
        else:
            self._compute(x, tensor, number)
        places = np.stack([np.full(tensor.channels, number), np.arange(tensor.channels)], axis=1)
        return Expression("integers", name, integers=Integers(places, *parameters, tuple(shape)))

    def _compute(self, expression: Expression, result: Tensor, number: int) -> None:
        """Append the operator that computes an expression into a tensor, or note what it will be part of."""
        x, relu = without_relu(expression)
        x = _mean_of_values(x)
        clamp = Clamp(result.zero if relu else 0)
        if x.operator == "Conv":
            if any(entry != 1 for entry in x.attributes.get("dilations", (1, 1))):
                raise ValueError("a dilated convolution")
            self.operators += patterns.convolution(x, result, clamp, self._tensor)
        elif x.operator == "Gemm":
            self.operators += patterns.convolution(self._as_convolution(x), result, clamp, self._tensor)
        elif x.operator in _POOLED or x.operator == "ReduceMean":
            self._mean(x, result, clamp)
        elif x.operator == "Mul" and not relu and _is_square(x) and not result.zero:
            source = self._tensor(x.arguments[0])
            self.squares[number] = source, Factor.of(source.scale**2 / result.scale)
        elif x.operator == "Mul" and not relu and all(leaf.integers for leaf in x.arguments):
            first, second = sorted(map(self._tensor, x.arguments), key=lambda tensor: -tensor.size)
            self.products[number] = Product(first, second, result)
        elif x.operator == "Add" and any(leaf.integers for leaf in x.arguments):
            self._add(x, result, clamp)
        elif not self._statistic(x, result):
            self._lookup(expression, result)

    def _as_convolution(self, gemm: Expression) -> Expression:
        """A Gemm as the convolution whose kernel is as large as the feature map."""
        x, weight, *bias = gemm.arguments
        plain = all(gemm.attributes.get(name, 1.0) == 1.0 for name in ("alpha", "beta"))
        transposed = (gemm.attributes.get("transA", 0), gemm.attributes.get("transB", 0))
        if x.integers is None or weight.constant is None or not plain or transposed != (0, 1):
            raise ValueError("a Gemm that is no linear layer of integers")
        feature_map = self.tensors[int(x.integers.places[0, 0])]
        if len(x.integers.places) != feature_map.channels:
            raise moves.MoveError
        shape = (feature_map.channels, feature_map.height, feature_map.width)
        read = Expression(
            "integers", x.name, integers=replace(x.integers, shape=(x.integers.shape[0], *shape), flat=False)
        )
        kernel = replace(weight, constant=weight.constant.reshape(len(weight.constant), *shape))
        return Expression("Conv", gemm.name, (read, kernel, *bias))

    def _mean(self, x: Expression, result: Tensor, clamp: Clamp) -> None:
        given = patterns.axes_of(x) if x.operator == "ReduceMean" else _POOLED[x.operator]
        axes = tuple(sorted(_AXIS_OF[axis] for axis in given))
        source = x.arguments[0]
        number = self._number(source)
        if number in self.squares:
            squared, factor = self.squares[number]
            means = patterns.mean(self.tensors[number], result, clamp, axes)
            self.operators.append(Mean(squared, result, axes, factor, means.factor, clamp))
        else:
            self.operators.append(patterns.mean(self._tensor(source), result, clamp, axes))

    def _add(self, x: Expression, result: Tensor, clamp: Clamp) -> None:
        constant = split_constant(x)
        products = [self.products.get(self._number(argument)) for argument in x.arguments]
        if constant is not None:
            product = self.products.get(self._number(constant[0]))
            if product is None:
                self._lookup(x, result)
                return
            self.operators.append(patterns.affine(product, result, clamp, None, constant[1]))
        elif products[0] is not None:
            tail = self._tensor(x.arguments[1])
            self.operators.append(patterns.affine(products[0], result, clamp, tail))
        else:
            first, second = map(self._tensor, x.arguments)
            self.operators.append(patterns.addition(first, second, result, clamp))

    def _statistic(self, x: Expression, result: Tensor) -> bool:
        """Append GRN's or ResNorm's statistics, where the expression is one of them."""
        grn = patterns.response_norm(x, result, self._tensor)
        if grn is not None:
            self.operators.append(grn)
            return True
        constant = split_constant(x) if x.operator == "Add" else None
        found = patterns.inverse_deviation(constant[0]) if constant else None
        if constant is not None and found is not None:
            self.deviations[constant[0].name] = found, constant[1], result
            return True
        if x.operator == "Mul" and x.arguments[0].operator == "Neg":
            mean, inverse = x.arguments[0].arguments[0], x.arguments[1]
            if inverse.name in self.deviations:
                found, value, scale = self.deviations[inverse.name]
                if found.mean.integers is mean.integers:
                    self.operators.append(patterns.residual_norm(found, value, scale, result, self._tensor))
                    return True
        return False

    def _lookup(self, x: Expression, result: Tensor) -> None:
        values = tabulate(x)
        if values is None:
            raise ValueError(_operators_of(x))
        leaf = next(each for each in x.leaves() if each.integers is not None)
        with np.errstate(invalid="ignore", over="ignore"):
            steps = np.rint(values / np.float32(result.scale)) + result.zero
        table = np.clip(np.nan_to_num(steps, nan=result.zero), 0, 255).astype(np.uint8)
        self.operators.append(Lookup(self._tensor(leaf), result, table))

    def _number(self, x: Expression) -> int:
        """The number of the tensor that a leaf is; -1 for views and other expressions."""
        view = x.integers
        if view is None or view.channels_last or view.flat or not moves.is_whole(view):
            return -1
        return int(view.places[0, 0])

    def _tensor(self, x: Expression) -> Tensor:
        """The tensor of a leaf; where it is a view, a new one that an operator writes."""
        if x.integers is None:
            raise ValueError(_operators_of(x))
        if id(x.integers) in self.moved:
            return self.moved[id(x.integers)]
        view, number = x.integers, self._number(x)
        if number >= 0 and self.tensors[number].channels == len(view.places):
            self._compute_pending(number)
            tensor = self.tensors[number]
        else:
            tensor = self._gather(view, x.name)
        self.moved[id(view)] = tensor
        return tensor

    def _compute_pending(self, number: int) -> None:
        """Compute a product or a square that something other than an addition or a mean reads."""
        tensor = self.tensors[number]
        product, square = self.products.pop(number, None), self.squares.get(number)
        if product is not None:
            self.operators.append(patterns.affine(product, tensor, Clamp(0), None))
        elif square is not None:
            source, factor = square
            steps = (np.arange(256) - source.zero) ** 2
            table = np.clip(factor.scale(steps), 0, 255).astype(np.uint8)
            self.operators.append(Lookup(source, tensor, table))
            del self.squares[number]

    def _gather(self, view: Integers, name: str) -> Tensor:
        if view.channels_last or view.flat or view.places.ndim != 2:
            raise moves.MoveError
        numbers = list(dict.fromkeys(view.places[:, 0].tolist()))
        for number in numbers:
            self._compute_pending(number)
        sources = tuple(self.tensors[number] for number in numbers)
        places = tuple((numbers.index(number), channel) for number, channel in view.places.tolist())
        height, width, _ = sources[0].shape
        result = Tensor(name, height, width, len(places), view.scale, view.zero)
        self.operators.append(Channels(sources, result, places))
        return result

    def _reshape(self, inputs: list[Expression], _: dict[str, Any], __: int) -> list[Integers]:
        assert inputs[0].integers is not None and inputs[1].constant is not None
        return [moves.reshape(inputs[0].integers, inputs[1].constant.tolist())]

    def _flatten(self, inputs: list[Expression], _: dict[str, Any], __: int) -> list[Integers]:
        assert inputs[0].integers is not None
        return [moves.reshape(inputs[0].integers, [0, -1])]

    def _transpose(self, inputs: list[Expression], attributes: dict[str, Any], _: int) -> list[Integers]:
        before = inputs[0].integers
        assert before is not None
        after = moves.transpose(before, attributes.get("perm", range(len(before.shape))[::-1]))
        if not before.channels_last:
            return [after]
        # the bytes become a tensor of another shape
        number = int(before.places[0, 0])
        self._compute_pending(number)
        source = self.tensors[number]
        _, channels, height, width = after.shape
        tensor = Tensor(f"{source.name}:{height}x{width}", height, width, channels, after.scale, after.zero)
        self.operators.append(Reshape(source, tensor))
        places = np.stack([np.full(channels, len(self.tensors)), np.arange(channels)], axis=1)
        self.tensors.append(tensor)
        return [Integers(places, after.scale, after.zero, after.shape)]

    def _split(self, inputs: list[Expression], attributes: dict[str, Any], count: int) -> list[Integers]:
        x = inputs[0].integers
        assert x is not None and attributes.get("axis", 0) == 1
        if len(inputs) > 1 and inputs[1].constant is not None:
            return moves.split(x, inputs[1].constant.tolist())
        size = -(-len(x.places) // count)
        return moves.split(x, [min(size, len(x.places) - size * part) for part in range(count)])

    def _concatenate(self, inputs: list[Expression], attributes: dict[str, Any], _: int) -> list[Integers]:
        parts = [entry.integers for entry in inputs if entry.integers is not None]
        assert len(parts) == len(inputs) and attributes.get("axis") == 1
        return [moves.concatenate(parts)]

    def _max_pool(self, inputs: list[Expression], attributes: dict[str, Any], _: int) -> list[Integers]:
        source = self._tensor(inputs[0])
        plain = not any(attributes.get("pads", ())) and not attributes.get("ceil_mode", 0)
        if not plain or any(entry != 1 for entry in attributes.get("dilations", ())):
            raise ValueError("a padded, dilated or rounded-up pooling")
        (high, wide), (down, along) = attributes["kernel_shape"], attributes.get("strides", (1, 1))
        height, width = (source.height - high) // down + 1, (source.width - wide) // along + 1
        tensor = Tensor(f"{source.name}:max", height, width, source.channels, source.scale, source.zero)
        self.operators.append(MaxPool(source, tensor, (high, wide), (down, along)))
        places = np.stack([np.full(tensor.channels, len(self.tensors)), np.arange(tensor.channels)], axis=1)
        self.tensors.append(tensor)
        return [Integers(places, tensor.scale, tensor.zero, (0, tensor.channels, height, width))]


_MOVES: dict[str, Callable[[_Parser, list[Expression], dict[str, Any], int], list[Integers]]] = {
    "Concat": _Parser._concatenate,
    "Flatten": _Parser._flatten,
    "MaxPool": _Parser._max_pool,
    "Reshape": _Parser._reshape,
    "Split": _Parser._split,
    "Transpose": _Parser._transpose,
}


def _mean_of_values(x: Expression) -> Expression:
    """The mean of a tensor, where it is written as the scale times the mean of its steps; else ``x``."""
    if x.operator != "Mul" or x.arguments[0].operator != "ReduceMean":
        return x
    mean, scale = x.arguments
    steps, *axes = mean.arguments
    if steps.operator != _STEPS or scale.constant is None:
        return x
    values = steps.arguments[0]
    if values.integers is None or scale.constant.tolist() != np.float32(values.integers.scale):
        return x
    return replace(mean, arguments=(values, *axes))


def _is_square(x: Expression) -> bool:
    first, second = x.arguments
    return first.integers is not None and first.integers is second.integers


def _operators_of(x: Expression) -> str:
    """The names of the operators in an expression, for a message."""
    names = [] if not x.arguments else [x.operator]
    for argument in x.arguments:
        names += [name for name in _operators_of(argument).split(", ") if name]
    return ", ".join(dict.fromkeys(names))


def _unknown(operator: str, name: str, reason: str) -> ModelFileError:
    return ModelFileError(
        f"The C export has no operator for the {operator} that gives '{name}'{reason}: export a student of "
        "this toolkit in INT8, without `--keep-float`."
    )
