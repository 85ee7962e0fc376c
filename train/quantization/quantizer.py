"""INT8 around an unchanged student: one torchao PT2E quantizer for post-training quantization and QAT.

The scheme: activations uint8 per tensor; weights symmetric int8 per output channel, in [-64, 63] by default,
so that no kernel can saturate its 16-bit intermediate (AVX2 without VNNI does); biases int32 at the product
of both scales. The weight -128 never occurs: ONNX Runtime 1.23 to 1.27 miscomputes it on aarch64. All
convolutions and linear layers are integer, and so are the additions, multiplications, poolings and
concatenations of feature maps; statistics per channel stay float. `train.quantization.graph.scale_alignment`
chooses scales that leave no kernel a tie to break.

Operations that copy values unchanged (reshape, transpose, split, maximum) and concatenation share the range
of their operands.
"""

from __future__ import annotations

import difflib
import functools
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from runtime.errors import ConfigError
from train.quantization.graph.rewriting import replace_average_pools
from train.quantization.graph.value_names import LAYERS, arguments_of, aten, end_of_chain, name_values
from train.quantization.observers import ActivationObserver, WeightObserver
from train.quantization.torchao_imports import (
    DerivedQuantizationSpec,
    ObserverBase,
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
)

WEIGHT_RANGES: dict[str, tuple[int, int]] = {"portable": (-64, 63), "full": (-127, 127)}

_ADDITIONS = {aten.add.Tensor, aten.add_.Tensor}
_PRODUCTS = {aten.mul.Tensor, aten.square.default}
_POOLS = {aten.adaptive_avg_pool2d.default, aten.mean.dim}
_MOVES = {
    aten.reshape.default, aten.view.default, aten.unflatten.int, aten.flatten.using_ints,
    aten.transpose.int, aten.permute.default, aten.contiguous.default, aten.max_pool2d.default,
    aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default, operator.getitem,
}  # fmt: skip

_BIAS_LIMIT = 2**30
OPERATIONS = "operations"  # key in the meta of a prepared graph


@dataclass(frozen=True)
class Scheme:
    """What varies in the scheme.

    Attributes:
        weight_range: least and greatest integer weight, see `WEIGHT_RANGES`; zero is always zero.
        keep_float: names of values, or of modules that contain them, that stay float.
    """

    weight_range: tuple[int, int] = WEIGHT_RANGES["portable"]
    keep_float: tuple[str, ...] = ()

    def keeps(self, name: str) -> bool:
        """Whether the value of this name stays float."""
        return any(_contains(other, name) for other in self.keep_float)

    def check_names(self, values: Iterable[str]) -> None:
        """Make sure that each of ``keep_float`` has an effect: with any of them, checks allow more.

        Args:
            values: names of all values that integer arithmetic can compute.

        Raises:
            ConfigError: for a name that is none of them and no module that contains one.
        """
        known = list(dict.fromkeys(values))
        for name in self.keep_float:
            if any(_contains(name, value) for value in known):
                continue
            close = difflib.get_close_matches(name, [*known, *(value.partition(":")[0] for value in known)])
            meant = f"did you mean {' or '.join(map(repr, dict.fromkeys(close)))}?" if close else ""
            raise ConfigError(
                f"--keep-float {name} names no value that INT8 computes: "
                f"{meant or 'choose one that `python -m export sensitivity` lists.'}"
            )


def _contains(module: str, value: str) -> bool:
    """Whether a name is that of a value, or of a module around it."""
    return value == module or value.startswith((module + ".", module + ":"))


PORTABLE = Scheme()


Kind = Literal["layer", "sum", "product", "square", "pool", "float"]


@dataclass(frozen=True)
class Operation:
    """How an integer value is computed from others; all by name.

    Attributes:
        kind: ``float`` is the input and whatever float arithmetic computes.
        name: of the value that is computed.
        operands: names of the ranges of the operands.
        result: name of the range of the result.
        entries: number of entries that a pool averages into one.
    """

    kind: Kind
    name: str
    operands: tuple[str, ...]
    result: str
    entries: int = 1


class Int8Quantizer(Quantizer):  # type: ignore[misc]
    """Annotates an exported student with the scheme above.

    Values that share a range get the same specification object, hence the same observer. torchao's
    SharedQuantizationSpec cannot express that: it refers to an annotated edge or node, and a value that
    ``keep_float`` names has no annotation, while the ranges of the others must not depend on it.

    Args:
        scheme: what varies in it.
        activation: creates the observer or fake quantizer of a value from its name.
        weight: creates that of a weight from the name of its layer and the range of its integers.
        integer_bias: quantize biases too; needs batch norm folded, so not in QAT.

    Attributes:
        operations: what was annotated, in the order of the graph.
    """

    def __init__(
        self,
        scheme: Scheme,
        activation: Callable[[str], ActivationObserver],
        weight: Callable[[str, tuple[int, int]], nn.Module] = WeightObserver,
        *,
        integer_bias: bool = True,
    ) -> None:
        super().__init__()
        self.scheme = scheme
        self.integer_bias = integer_bias
        self.operations: list[Operation] = []
        self._activation, self._weight = activation, weight
        self._names: dict[Node, str] = {}
        self._sources: dict[Node, Node] = {}
        self._specs: dict[Node, QuantizationSpec] = {}

    def transform_for_annotation(self, model: GraphModule) -> GraphModule:
        """Write strided average pooling as a depthwise convolution: one kind of operation less."""
        return replace_average_pools(model)

    def annotate(self, model: GraphModule) -> GraphModule:
        """Annotate every operation that becomes integer.

        Raises:
            ConfigError: where the scheme names a value that there is not.
        """
        self.operations = []
        self._names, self._sources, self._specs = name_values(model), {}, {}
        for node in model.graph.nodes:  # all of them: names of ranges must not depend on what stays float
            self._share_range(node)
        rules = {node: rule for node in list(model.graph.nodes) if (rule := self._rule(node)) is not None}
        self.scheme.check_names(self._name_of(node) for node in rules)
        for node, rule in rules.items():
            if not self.scheme.keeps(self._name_of(node)):
                rule(node)
        self._add_float_operations()
        return model

    def validate(self, model: GraphModule) -> None:
        """Every graph is valid: what is not annotated stays float, and the lint of the exporter names it."""

    def _share_range(self, node: Node) -> None:
        """Let values that contain the same numbers share one range."""
        if node.target in _MOVES and self._moves_feature_map(node):
            self._sources[node] = self._source(arguments_of(node)[0])
        elif node.target is aten.cat.default and _is_feature_map(node):
            first, *others = arguments_of(node)[0]
            for other in (*others, node):
                if self._source(other) is not self._source(first):
                    self._sources[self._source(other)] = self._source(first)

    def _moves_feature_map(self, node: Node) -> bool:
        return arguments_of(node)[0] in self._sources or _is_feature_map(arguments_of(node)[0])

    def _source(self, node: Node) -> Node:
        """The value whose range this value shares."""
        while node in self._sources:
            node = self._sources[node]
        return node

    def _name_of(self, node: Node) -> str:
        """Name of the value that the chain of a node computes."""
        return self._names.get(end_of_chain(node), "")

    def _rule(self, node: Node) -> Callable[[Node], None] | None:
        """What annotates a node; None where it stays float."""
        if node.target in LAYERS:
            return self._annotate_layer
        if node.target in _ADDITIONS | _PRODUCTS and _is_feature_map(node):
            return self._annotate_arithmetic
        if node.target in _POOLS and _is_feature_map(arguments_of(node)[0]):
            return self._annotate_pool
        if node.target is aten.mean.dim:
            return self._annotate_statistic
        moved = node.target in _MOVES and node in self._sources
        joined = node.target is aten.cat.default and _is_feature_map(node)
        return self._annotate_moved if moved or joined else None

    def _annotate_layer(self, node: Node) -> None:
        x, weight = arguments_of(node)[:2]
        name = self._names[end_of_chain(node)]
        observer = _Constructor(lambda: self._weight(name, self.scheme.weight_range))
        inputs = {
            x: self._spec(x),
            weight: QuantizationSpec(dtype=torch.int8, observer_or_fake_quant_ctr=observer),
        }
        bias = arguments_of(node)[2] if len(arguments_of(node)) > 2 else None
        if isinstance(bias, Node) and self.integer_bias:
            inputs[bias] = DerivedQuantizationSpec(
                derived_from=[(x, node), (weight, node)], derive_qparams_fn=_bias_parameters,
                dtype=torch.int32, quant_min=-_BIAS_LIMIT, quant_max=_BIAS_LIMIT,
                qscheme=torch.per_channel_symmetric, ch_axis=0,
            )  # fmt: skip
        _annotate(node, inputs)
        self._annotate_end(node)
        self._record("layer", node, [x])

    def _annotate_arithmetic(self, node: Node) -> None:
        operands = list(dict.fromkeys(arg for arg in arguments_of(node)[:2] if isinstance(arg, Node)))
        _annotate(node, {operand: self._spec(operand) for operand in operands})
        self._annotate_end(node)
        if not all(isinstance(arg, Node) for arg in arguments_of(node)[:2]):
            return  # a Python number is not quantized, so the result is computed in float
        kind: Kind = "product" if node.target in _PRODUCTS else "sum"
        square = kind == "product" and len(operands) == 1
        self._record("square" if square else kind, node, operands)

    def _annotate_pool(self, node: Node) -> None:
        x = arguments_of(node)[0]
        _annotate(node, {x: self._spec(x)})
        self._annotate_end(node)
        self._record("pool", node, [x], entries=x.meta["val"][0].numel() // node.meta["val"][0].numel())

    def _annotate_statistic(self, node: Node) -> None:
        """A mean over channels is taken of integers, so that the order of summation cannot change it."""
        statistic = arguments_of(node)[0]
        _annotate(node, {statistic: self._spec(statistic)})
        if "quantization_annotation" not in statistic.meta:
            _annotate(statistic, {})
            self._annotate_end(statistic)

    def _annotate_moved(self, node: Node) -> None:
        joined = node.target is aten.cat.default
        operands: list[Node] = list(arguments_of(node)[0]) if joined else [arguments_of(node)[0]]
        # a split returns a list, and only its parts are values
        _annotate(node, {x: self._spec(x) for x in operands if isinstance(x.meta["val"], Tensor)})
        if isinstance(node.meta["val"], Tensor):
            self._annotate_end(node)

    def _annotate_end(self, node: Node) -> None:
        """Quantize the output of the chain that begins with ``node``, and nothing inside it."""
        end = end_of_chain(node)
        if end is not node:
            _annotate(end, {})
        end.meta["quantization_annotation"].output_qspec = self._spec(end)

    def _record(self, kind: Kind, node: Node, operands: list[Node], entries: int = 1) -> None:
        end = end_of_chain(node)
        sources = tuple(self._names[self._source(operand)] for operand in operands)
        result = self._names[self._source(end)]
        self.operations.append(Operation(kind, self._names[end], sources, result, entries))

    def _add_float_operations(self) -> None:
        """Record the values that no integer operation computes, parameters left out."""
        computed = {operation.result for operation in self.operations}
        for node in self._specs:
            name = self._names[node]
            if name not in computed and node.op != "get_attr":
                self.operations.append(Operation("float", name, (), name))

    def _spec(self, node: Node) -> QuantizationSpec:
        """The specification of a value: one object, and one observer, for all that share its range."""
        source = self._source(node)
        if source not in self._specs:
            constructor = _Constructor(functools.cache(lambda: self._activation(self._names[source])))
            self._specs[source] = QuantizationSpec(dtype=torch.uint8, observer_or_fake_quant_ctr=constructor)
        return self._specs[source]


class _Constructor:
    """Creates an observer without the arguments that PT2E adds: ours has its scheme as attributes."""

    def __init__(self, create: Callable[[], nn.Module]) -> None:
        self.create = create
        self.__name__ = type(self).__name__  # PT2E reads it, as of the class that it expects here

    def with_args(self, **_: object) -> _Constructor:
        return self

    def __call__(self) -> nn.Module:
        return self.create()


def operations_of(prepared: GraphModule) -> list[Operation]:
    """The operations that `Int8Quantizer` recorded of a prepared graph."""
    operations: list[Operation] = prepared.meta[OPERATIONS]
    return operations


def _annotate(node: Node, inputs: dict[Node, QuantizationSpec | DerivedQuantizationSpec]) -> None:
    node.meta["quantization_annotation"] = QuantizationAnnotation(input_qspec_map=inputs, _annotated=True)


def _bias_parameters(observers: list[ObserverBase]) -> tuple[Tensor, Tensor]:
    scales = observers[0].calculate_qparams()[0] * observers[1].calculate_qparams()[0]
    return scales, torch.zeros(len(scales), dtype=torch.int64)


def _is_feature_map(node: Node) -> bool:
    """Whether the output is a map over mels and frames; statistics have one entry along one of them."""
    value = node.meta["val"]
    return isinstance(value, Tensor) and value.ndim >= 4 and value.shape[-2] > 1 and value.shape[-1] > 1
