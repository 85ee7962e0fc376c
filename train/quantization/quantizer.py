"""INT8 around an unchanged student: one torchao PT2E quantizer for post-training quantization and QAT.

The scheme, in one place: activations uint8 per tensor; weights symmetric int8 per output channel, in
[-64, 63] by default, so that no kernel can saturate its 16-bit intermediate (AVX2 without VNNI does);
biases int32 at the product of both scales. The weight -128 never occurs: ONNX Runtime 1.23 to 1.27
miscomputes it on aarch64. Integer are all convolutions, linear layers, and the additions,
multiplications, poolings and concatenations of feature maps; what stays float are statistics per channel.
`train.quantization.qparams` chooses the scales so that no kernel has a tie to break.

A *value* is a tensor that gets a range of its own. It is named by the module that makes it
(``stages.s1.b1.block.0.0``), with the operation behind a colon where that is no convolution or linear
layer (``stages.s1.b1:add``), so a name means the same in training and evaluation graphs. Operations that
only move numbers (reshape, transpose, split, maximum) and concatenation give their value the range of what
they read.
"""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from train.quantization.qparams import Range, activation_parameters, weight_scales
from train.quantization.torchao_imports import (
    DerivedQuantizationSpec,
    ObserverBase,
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
)

aten = torch.ops.aten

WEIGHT_RANGES: dict[str, tuple[int, int]] = {"portable": (-64, 63), "full": (-127, 127)}

LAYERS = {aten.conv2d.default, aten.linear.default}
_ADDITIONS = {aten.add.Tensor, aten.add_.Tensor}
_PRODUCTS = {aten.mul.Tensor, aten.square.default}
_POOLS = {aten.adaptive_avg_pool2d.default, aten.mean.dim}
_MOVES = {
    aten.reshape.default, aten.view.default, aten.unflatten.int, aten.flatten.using_ints,
    aten.transpose.int, aten.permute.default, aten.contiguous.default, aten.max_pool2d.default,
    aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default, operator.getitem,
}  # fmt: skip
_NORMS = {aten.batch_norm.default}
_ACTIVATIONS = {aten.relu.default, aten.relu_.default}

_BIAS_LIMIT = 2**30


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
        return any(name == kept or name.startswith((kept + ".", kept + ":")) for kept in self.keep_float)


PORTABLE = Scheme()


class Observer(ObserverBase):
    """What PT2E inserts where an activation is quantized; children know the range.

    Args:
        name: of the value.

    Attributes:
        scale: that was chosen for the range together with those of the neighbours, or None.
    """

    def __init__(self, name: str) -> None:
        super().__init__(dtype=torch.uint8)
        self.quant_min, self.quant_max = 0, 255
        self.qscheme, self.ch_axis = torch.per_tensor_affine, None
        self.name = name
        self.scale: float | None = None

    def range(self) -> Range:
        """The least and the greatest number that the value has to hold."""
        raise NotImplementedError

    def parameters(self) -> tuple[float, int]:
        """Scale and zero point."""
        return activation_parameters(self.range(), self.scale)

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point, as PT2E asks for them."""
        scale, zero_point = self.parameters()
        return torch.tensor([scale]), torch.tensor([zero_point])


class WeightObserver(ObserverBase):
    """Remembers the scales of a weight.

    Args:
        name: of the layer.
        weight_range: least and greatest integer.
        scales: [out_channels], where they are known; else they follow from the weight.

    Attributes:
        step: scale of the layer's output over that of its input, or None while they are not chosen.
    """

    def __init__(
        self, name: str, weight_range: tuple[int, int], scales: Sequence[float] | None = None
    ) -> None:
        super().__init__(dtype=torch.int8)
        self.quant_min, self.quant_max = weight_range
        self.qscheme, self.ch_axis = torch.per_channel_symmetric, 0
        self.name = name
        self.step: float | None = None
        self._scales = None if scales is None else torch.tensor(scales)

    def scales(self, weight: Tensor) -> Tensor:
        """Scales [out_channels] of a weight [out_channels, ...]."""
        return weight_scales(weight, (self.quant_min, self.quant_max), self.step)

    def forward(self, x: Tensor) -> Tensor:
        """[out_channels, ...] -> the same; the first weight counts: one that is rounded may have shrunk."""
        if self._scales is None:
            self._scales = self.scales(x)
        return x

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scales and zero points, as PT2E asks for them."""
        assert self._scales is not None  # PT2E runs the weights through their observers first
        return self._scales, torch.zeros(len(self._scales), dtype=torch.int64)


Kind = Literal["layer", "sum", "product", "square", "pool", "float"]


@dataclass(frozen=True)
class Operation:
    """How an integer value comes from others; all by name.

    Attributes:
        kind: ``float`` is anything that float arithmetic makes, the input among it.
        name: of the value that comes out.
        operands: the values whose ranges those that go in have.
        result: the value whose range the one that comes out has.
        entries: how many of the operand's a pool averages into one.
    """

    kind: Kind
    name: str
    operands: tuple[str, ...]
    result: str
    entries: int = 1


class Int8Quantizer(Quantizer):
    """Annotates an exported student with the scheme above.

    Args:
        scheme: what varies in it.
        activation: makes the observer or fake quantizer of the value of a given name.
        weight: makes that of a weight, from the name of its layer and the range of its integers.
        integer_bias: quantize biases too; needs batch norm folded, so not in QAT.

    Attributes:
        operations: what was annotated, in the order of the graph.
    """

    def __init__(
        self,
        scheme: Scheme,
        activation: Callable[[str], Observer],
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
        """Turn strided average pooling into the depthwise convolution it is: one kind of op less."""
        return replace_average_pools(model)

    def annotate(self, model: GraphModule) -> GraphModule:
        """Mark every operation that becomes integer."""
        self.operations = []
        self._names, self._sources, self._specs = name_values(model), {}, {}
        for node in model.graph.nodes:  # of all, so that names of ranges do not depend on what stays float
            self._join_ranges(node)
        for node in list(model.graph.nodes):
            if not self.scheme.keeps(self._names.get(end_of_chain(node), "")):
                self._annotate_node(node)
        self._add_float_operations()
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing to forbid: what is not annotated stays float, and the lint names it."""

    def _join_ranges(self, node: Node) -> None:
        """Give values one range that have the same numbers in them."""
        if node.target in _MOVES and self._moves_feature_map(node):
            self._sources[node] = self._source(node.args[0])
        elif node.target is aten.cat.default and _is_feature_map(node):
            first, *others = node.args[0]
            for other in (*others, node):
                if self._source(other) is not self._source(first):
                    self._sources[self._source(other)] = self._source(first)

    def _moves_feature_map(self, node: Node) -> bool:
        return node.args[0] in self._sources or _is_feature_map(node.args[0])

    def _source(self, node: Node) -> Node:
        """The value whose range a value has."""
        while node in self._sources:
            node = self._sources[node]
        return node

    def _annotate_node(self, node: Node) -> None:
        if node.target in LAYERS:
            self._annotate_layer(node)
        elif node.target in _ADDITIONS | _PRODUCTS and _is_feature_map(node):
            self._annotate_arithmetic(node)
        elif node.target in _POOLS and _is_feature_map(node.args[0]):
            self._annotate_pool(node)
        elif node.target is aten.mean.dim:
            self._annotate_statistic(node)
        elif node.target in _MOVES and node in self._sources:
            self._annotate_moved(node, [node.args[0]])
        elif node.target is aten.cat.default and _is_feature_map(node):
            self._annotate_moved(node, list(node.args[0]))

    def _annotate_layer(self, node: Node) -> None:
        x, weight = node.args[:2]
        name = self._names[end_of_chain(node)]
        observer = _Constructor(lambda: self._weight(name, self.scheme.weight_range))
        inputs = {
            x: self._spec(x),
            weight: QuantizationSpec(dtype=torch.int8, observer_or_fake_quant_ctr=observer),
        }
        bias = node.args[2] if len(node.args) > 2 else None
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
        operands = list(dict.fromkeys(arg for arg in node.args[:2] if isinstance(arg, Node)))
        _annotate(node, {operand: self._spec(operand) for operand in operands})
        self._annotate_end(node)
        if all(
            isinstance(arg, Node) for arg in node.args[:2]
        ):  # a number is no integer: what it makes is float
            two = "product" if node.target in _PRODUCTS else "sum"
            square = node.target in _PRODUCTS and len(operands) == 1
            self._record("square" if square else two, node, operands)

    def _annotate_pool(self, node: Node) -> None:
        x = node.args[0]
        _annotate(node, {x: self._spec(x)})
        self._annotate_end(node)
        self._record("pool", node, [x], entries=x.meta["val"][0].numel() // node.meta["val"][0].numel())

    def _annotate_statistic(self, node: Node) -> None:
        """A mean over channels: of integers, so that no order of summation changes it."""
        statistic = node.args[0]
        _annotate(node, {statistic: self._spec(statistic)})
        if "quantization_annotation" not in statistic.meta:
            _annotate(statistic, {})
            self._annotate_end(statistic)

    def _annotate_moved(self, node: Node, operands: list[Node]) -> None:
        # what is split comes as a list, and only its parts are values
        _annotate(node, {x: self._spec(x) for x in operands if isinstance(x.meta["val"], Tensor)})
        if isinstance(node.meta["val"], Tensor):
            self._annotate_end(node)

    def _annotate_end(self, node: Node) -> None:
        """Quantize the output of the chain that ``node`` begins, and nothing inside it."""
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
        """Note the values that no integer operation makes, and that are no parameters."""
        made = {operation.result for operation in self.operations}
        for node in self._specs:
            name = self._names[node]
            if name not in made and node.op != "get_attr":
                self.operations.append(Operation("float", name, (), name))

    def _spec(self, node: Node) -> QuantizationSpec:
        """The spec of a value: one object, and one observer, for all that share its range."""
        source = self._source(node)
        if source not in self._specs:
            constructor = _Constructor(functools.cache(lambda: self._activation(self._names[source])))
            self._specs[source] = QuantizationSpec(dtype=torch.uint8, observer_or_fake_quant_ctr=constructor)
        return self._specs[source]


class _Constructor:
    """Makes an observer and ignores what PT2E adds from the spec: ours knows its scheme."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        self.make = make
        self.__name__ = type(self).__name__  # PT2E asks, as of the class that it expects here

    def with_args(self, **_: object) -> _Constructor:
        return self

    def __call__(self) -> nn.Module:
        return self.make()


def _annotate(node: Node, inputs: dict[Node, QuantizationSpec | DerivedQuantizationSpec]) -> None:
    node.meta["quantization_annotation"] = QuantizationAnnotation(input_qspec_map=inputs, _annotated=True)


def _bias_parameters(observers: list[ObserverBase]) -> tuple[Tensor, Tensor]:
    scales = observers[0].calculate_qparams()[0] * observers[1].calculate_qparams()[0]
    return scales, torch.zeros(len(scales), dtype=torch.int64)


def end_of_chain(node: Node) -> Node:
    """The node whose output is quantized where ``node`` begins: past its batch norm and its ReLU."""
    if node.op != "call_function":  # a weight of batch norm is no value of the layer
        return node
    for followers in (_NORMS, _ACTIVATIONS):
        users = list(node.users)
        if len(users) == 1 and users[0].target in followers and users[0].args[0] is node:
            node = users[0]
    return node


def name_values(model: GraphModule) -> dict[Node, str]:
    """A name for every node that can be a value, see the module's docstring."""
    names: dict[Node, str] = {}
    seen: Counter[str] = Counter()
    for node in model.graph.nodes:
        if end_of_chain(node) in names or node.op == "output":
            continue
        path = _module_path(node)
        kind = "" if node.target in LAYERS else f":{_operation(node)}"
        name = f"{path}{kind}" if node.op == "call_function" else str(node.target)
        seen[name] += 1
        names[end_of_chain(node)] = name if seen[name] == 1 else f"{name}.{seen[name]}"
    return names


def _module_path(node: Node) -> str:
    stack = node.meta.get("nn_module_stack")
    return list(stack.values())[-1][0] if stack else ""


def _operation(node: Node) -> str:
    if node.op != "call_function":
        return node.op
    return "part" if node.target is operator.getitem else str(node.target).split(".")[1].rstrip("_")


def _is_feature_map(node: Node) -> bool:
    """Whether a node makes maps over mels and frames; statistics have one entry along one of them."""
    value = node.meta["val"]
    return isinstance(value, Tensor) and value.ndim >= 4 and value.shape[-2] > 1 and value.shape[-1] > 1


def replace_average_pools(model: GraphModule) -> GraphModule:
    """Write every strided ``avg_pool2d`` (zeros counted in) as a depthwise convolution with equal weights."""
    for node in model.graph.find_nodes(op="call_function", target=aten.avg_pool2d.default):
        x, kernel, stride, padding = (*node.args, [0, 0])[:4]
        channels = x.meta["val"].shape[1]
        weight = torch.full((channels, 1, *kernel), 1 / (kernel[0] * kernel[1]))
        buffer = f"{node.name}_weight"
        model.register_buffer(buffer, weight)
        with model.graph.inserting_before(node):
            weight_node = model.graph.get_attr(buffer)
            arguments = (x, weight_node, None, stride, padding, [1, 1], channels)
            convolution = model.graph.call_function(aten.conv2d.default, arguments)
        weight_node.meta["val"] = weight
        convolution.meta = dict(node.meta)
        node.replace_all_uses_with(convolution)
        model.graph.erase_node(node)
    model.recompile()
    return model
