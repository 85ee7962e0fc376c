"""INT8 around an unchanged student: one torchao PT2E quantizer for post-training quantization and QAT.

The scheme, in one place: activations uint8 per tensor; weights symmetric int8 per output channel, in
[-64, 63] by default, so that no kernel can saturate its 16-bit intermediate (AVX2 without VNNI does);
biases int32 at the product of both scales. The weight -128 never occurs: ONNX Runtime 1.23 to 1.27
miscomputes it on aarch64. Integer are all convolutions, linear layers, and the additions,
multiplications and poolings of feature maps; what stays float are statistics per channel.

A *value* is a tensor that gets a range of its own. It is named by the module that makes it
(``stages.s1.b1.block.0.0``), with the operation behind a colon where that is no convolution or linear
layer (``stages.s1.b1:add``), so a name means the same in training and evaluation graphs.
"""

from __future__ import annotations

import logging
import math
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from runtime.door import require

# On import torchao complains of CUDA libraries that a CPU lacks, and of its own use of torch.
logging.getLogger("torchao").setLevel(logging.ERROR)
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
require("torchao", extra="train")

from torchao.quantization.pt2e import ObserverBase  # noqa: E402
from torchao.quantization.pt2e.quantize_pt2e import (  # noqa: E402
    convert_pt2e,
    prepare_pt2e,
    prepare_qat_pt2e,
)
from torchao.quantization.pt2e.quantizer import (  # noqa: E402
    DerivedQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
)

aten = torch.ops.aten

Range = tuple[float, float]
Weights = Mapping[str, tuple[Tensor, Tensor]]  # name of a layer to its weight on the grid, and the scales
Ranges = Mapping[str, Range]  # name of a value to the least and the greatest number it has to hold

WEIGHT_RANGES: dict[str, tuple[int, int]] = {"portable": (-64, 63), "full": (-127, 127)}

_CONVOLUTIONS = {aten.conv2d.default, aten.linear.default}
_ADDITIONS = {aten.add.Tensor, aten.add_.Tensor}
_ARITHMETIC = {*_ADDITIONS, aten.mul.Tensor, aten.square.default}
_POOLS = {aten.adaptive_avg_pool2d.default, aten.mean.dim}
_NORMS = {aten.batch_norm.default}
_ACTIVATIONS = {aten.relu.default, aten.relu_.default}

_WEIGHT_FLOOR = 1e-4  # of the largest scale: a channel this much smaller is a constant to the others
_BIAS_LIMIT = 2**30
# Calibration windows are float16 and goldens multiples of 1/64. A range between two such numbers puts others
# of them exactly halfway between two steps, where torch (times the inverse scale) and ONNX Runtime (divided
# by the scale) round apart. A prime in the scale keeps the whole binary grid off the ties.
_OFF_GRID = 2000 / 1999
_SUM_PARTS = 127


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


def activation_parameters(value_range: Range) -> tuple[float, int]:
    """Scale and zero point of uint8 for values in a range; zero is always representable.

    Raises:
        ValueError: where the range is not finite.
    """
    low, high = min(value_range[0], 0.0), max(value_range[1], 0.0)
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise ValueError(f"the range {value_range} is not finite")
    # float32, because that is what the graph will hold
    scale = float(torch.tensor(max((high - low) / 255 * _OFF_GRID, 1e-8), dtype=torch.float32))
    return scale, min(255, max(0, round(-low / scale)))


def weight_scales(weight: Tensor, weight_range: tuple[int, int]) -> Tensor:
    """Symmetric scales [out_channels] of a weight [out_channels, ...]."""
    scales = weight.detach().abs().flatten(1).amax(1) / weight_range[1]
    return torch.maximum(scales, scales.max() * _WEIGHT_FLOOR).clamp(min=1e-12)


class Observer(ObserverBase):
    """What PT2E inserts where an activation is quantized; children know the range."""

    def __init__(self) -> None:
        super().__init__(dtype=torch.uint8)
        self.quant_min, self.quant_max = 0, 255
        self.qscheme, self.ch_axis = torch.per_tensor_affine, None

    def range(self) -> Range:
        """The least and the greatest number that the value has to hold."""
        raise NotImplementedError

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point, as PT2E asks for them."""
        scale, zero_point = activation_parameters(self.range())
        return torch.tensor([scale]), torch.tensor([zero_point])


class _FixedRange(Observer):
    """Gives an activation the parameters of a range that is known already.

    Attributes:
        scale: of one step; it may be widened before conversion.
    """

    def __init__(self, value_range: Range) -> None:
        super().__init__()
        self.value_range = value_range
        self.scale, _ = activation_parameters(value_range)

    def forward(self, x: Tensor) -> Tensor:
        return x

    def range(self) -> Range:
        low = min(self.value_range[0], 0.0)
        return low, low + 255 * self.scale


class WeightObserver(ObserverBase):
    """Remembers the scales of a weight."""

    def __init__(self, weight_range: tuple[int, int]) -> None:
        super().__init__(dtype=torch.int8)
        self.quant_min, self.quant_max = weight_range
        self.qscheme, self.ch_axis = torch.per_channel_symmetric, 0
        self.scales = torch.empty(0)
        self.fixed = False  # the scales were given together with the weights

    def forward(self, x: Tensor) -> Tensor:
        """[out_channels, ...] -> the same."""
        if not self.fixed:
            self.scales = weight_scales(x, (self.quant_min, self.quant_max))
        return x

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scales and zero points, as PT2E asks for them."""
        return self.scales, torch.zeros(len(self.scales), dtype=torch.int64)


class Int8Quantizer(Quantizer):
    """Annotates an exported student with the scheme above.

    Args:
        scheme: what varies in it.
        activation: makes the observer or fake quantizer of the value of a given name.
        weight: makes that of a weight.
        integer_bias: quantize biases too; needs batch norm folded, so not in QAT.
    """

    def __init__(
        self,
        scheme: Scheme,
        activation: Callable[[str], nn.Module],
        weight: Callable[[tuple[int, int]], nn.Module] = WeightObserver,
        *,
        integer_bias: bool = True,
    ) -> None:
        super().__init__()
        self.scheme = scheme
        self.integer_bias = integer_bias
        self._activation = activation
        self._weight = QuantizationSpec(
            dtype=torch.int8,
            observer_or_fake_quant_ctr=_Constructor(lambda: weight(scheme.weight_range)),
        )
        self._names: dict[Node, str] = {}
        self._specs: dict[Node, QuantizationSpec] = {}

    def transform_for_annotation(self, model: GraphModule) -> GraphModule:
        """Turn strided average pooling into the depthwise convolution it is: one kind of op less."""
        return replace_average_pools(model)

    def annotate(self, model: GraphModule) -> GraphModule:
        """Mark every operation that becomes integer."""
        self._names = name_values(model)
        self._specs = {}
        for node in list(model.graph.nodes):
            if not self.scheme.keeps(self._names.get(end_of_chain(node), "")):
                self._annotate_node(node)
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing to forbid: what is not annotated stays float, and the lint names it."""

    def _annotate_node(self, node: Node) -> None:
        if node.target in _CONVOLUTIONS:
            self._annotate_convolution(node)
        elif node.target in _ARITHMETIC and _is_feature_map(node):
            self._annotate_all(node, [operand for operand in node.args[:2] if isinstance(operand, Node)])
        elif node.target in _POOLS and _is_feature_map(node.args[0]):
            self._annotate_all(node, [node.args[0]])

    def _annotate_convolution(self, node: Node) -> None:
        x, weight = node.args[:2]
        inputs = {x: self._spec(x), weight: self._weight}
        bias = node.args[2] if len(node.args) > 2 else None
        if isinstance(bias, Node) and self.integer_bias:
            inputs[bias] = DerivedQuantizationSpec(
                derived_from=[(x, node), (weight, node)], derive_qparams_fn=_bias_parameters,
                dtype=torch.int32, quant_min=-_BIAS_LIMIT, quant_max=_BIAS_LIMIT,
                qscheme=torch.per_channel_symmetric, ch_axis=0,
            )  # fmt: skip
        _annotate(node, inputs)
        self._annotate_end(node)

    def _annotate_all(self, node: Node, operands: list[Node]) -> None:
        _annotate(node, {operand: self._spec(operand) for operand in operands})
        self._annotate_end(node)

    def _annotate_end(self, node: Node) -> None:
        """Quantize the output of the chain that ``node`` begins, and nothing inside it."""
        end = end_of_chain(node)
        if end is not node:
            _annotate(end, {})
        end.meta["quantization_annotation"].output_qspec = self._spec(end)

    def _spec(self, node: Node) -> QuantizationSpec:
        """The spec of a value: one object for its maker and all its users, so they share one range."""
        if node not in self._specs:
            name = self._names[node]
            self._specs[node] = QuantizationSpec(
                dtype=torch.uint8, observer_or_fake_quant_ctr=_Constructor(lambda: self._activation(name))
            )
        return self._specs[node]


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
        if end_of_chain(node) in names or node.op == "output" or node.target is operator.getitem:
            continue
        path = _module_path(node)
        kind = "" if node.target in _CONVOLUTIONS else f":{_operation(node)}"
        name = f"{path}{kind}" if node.op == "call_function" else str(node.target)
        seen[name] += 1
        names[end_of_chain(node)] = name if seen[name] == 1 else f"{name}.{seen[name]}"
    return names


def _module_path(node: Node) -> str:
    stack = node.meta.get("nn_module_stack")
    return list(stack.values())[-1][0] if stack else ""


def _operation(node: Node) -> str:
    return str(node.target).split(".")[1].rstrip("_") if node.op == "call_function" else node.op


def _is_feature_map(node: Node) -> bool:
    """Whether a node makes a map over mels and frames; statistics have one entry along one of them."""
    shape = node.meta["val"].shape
    return len(shape) == 4 and shape[2] > 1 and shape[3] > 1


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


def capture(network: nn.Module, input_shape: tuple[int, ...]) -> GraphModule:
    """Export a network to the graph that PT2E works on, with a free batch size.

    Args:
        network: in the mode (train or eval) that the graph shall have.
        input_shape: of its input, batch first.
    """
    example = torch.zeros(2, *input_shape[1:])  # a batch of one would be taken for a constant
    program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    return program.module()


def prepare(
    network: nn.Module,
    input_shape: tuple[int, ...],
    scheme: Scheme,
    activation: Callable[[str], Observer],
    weight: Callable[[tuple[int, int]], nn.Module] = WeightObserver,
) -> GraphModule:
    """A network with an observer at every value that becomes integer, batch norm folded.

    Args:
        network: in eval mode; it is left as it is.
        input_shape: of its input, batch first.
        scheme: what varies.
        activation: makes the observer of the value of a given name.
        weight: makes that of a weight.
    """
    return prepare_pt2e(capture(network, input_shape), Int8Quantizer(scheme, activation, weight))


def prepare_training(
    network: nn.Module,
    input_shape: tuple[int, ...],
    scheme: Scheme,
    activation: Callable[[str], Observer],
    weight: Callable[[tuple[int, int]], nn.Module],
) -> GraphModule:
    """As `prepare`, but trainable: it shares the parameters of the network, and batch norm stays.

    Weights are rounded as batch norm will scale them (Krishnamoorthi, arXiv 1806.08342, section 3.2.2).
    """
    quantizer = Int8Quantizer(scheme, activation, weight, integer_bias=False)
    return prepare_qat_pt2e(capture(network, input_shape), quantizer)


def layers(model: GraphModule) -> dict[str, Node]:
    """The convolutions and linear layers of a graph by name."""
    names = name_values(model)
    return {names[end_of_chain(node)]: node for node in model.graph.nodes if node.target in _CONVOLUTIONS}


def convert(
    network: nn.Module,
    input_shape: tuple[int, ...],
    ranges: Ranges,
    scheme: Scheme,
    weights: Weights | None = None,
) -> GraphModule:
    """The INT8 twin of a network: integer values between quantize and dequantize nodes.

    Args:
        network: in eval mode; it is left as it is.
        input_shape: of its input, batch first.
        ranges: of every value that becomes integer, from calibration or QAT.
        scheme: what varies.
        weights: of layers whose rounding was chosen; the others are rounded to nearest.

    Raises:
        KeyError: where ``ranges`` lacks a value.
    """
    prepared = prepare(network, input_shape, scheme, lambda name: _FixedRange(ranges[name]))
    _set_weights(prepared, weights or {})
    _keep_sums_off_ties(prepared)
    with torch.no_grad():
        prepared(torch.zeros(2, *input_shape[1:]))  # weights show themselves to their observers
    return convert_pt2e(prepared)


def _keep_sums_off_ties(prepared: GraphModule) -> None:
    """Choose scales so that no sum of two integer tensors lies halfway between two steps, or near it.

    Kernels compute such a sum each in its own way: in float32 with a fused multiplication or without,
    or in fixed point; ties to even, or up. With any scales one sum in 100,000 came out differently on
    x86 and on aarch64, and GRN spreads that. Where the scale of every operand is a whole number of
    `_SUM_PARTS`, an odd number, of the result's, a sum is never nearer to a tie than half a part.
    """
    for node in reversed(prepared.graph.nodes):  # a sum can be an operand of a later one
        if node.target in _ADDITIONS and _is_feature_map(node):
            for result in _observers(prepared, end_of_chain(node).users):
                for operand in _observers(prepared, node.args):
                    parts = math.ceil(operand.scale / result.scale * _SUM_PARTS)
                    operand.scale = result.scale * parts / _SUM_PARTS


def _observers(prepared: GraphModule, nodes: Iterable[object]) -> list[_FixedRange]:
    calls = [node for node in nodes if isinstance(node, Node) and node.op == "call_module"]
    modules = [prepared.get_submodule(node.target) for node in calls]
    return [module for module in modules if isinstance(module, _FixedRange)]


def _set_weights(prepared: GraphModule, weights: Weights) -> None:
    for name, node in layers(prepared).items():
        observed = node.args[1]
        if name in weights and observed.op == "call_module":  # otherwise it stays float
            weight, scales = weights[name]
            path, _, attribute = observed.args[0].target.rpartition(".")
            setattr(prepared.get_submodule(path), attribute, nn.Parameter(weight, requires_grad=False))
            observer = prepared.get_submodule(observed.target)
            observer.scales, observer.fixed = scales, True


def weight_of(prepared: GraphModule, layer: Node) -> Tensor:
    """The weight of a layer of a prepared graph, batch norm folded into it."""
    node = layer.args[1]
    source = node.args[0] if node.op == "call_module" else node
    path, _, attribute = source.target.rpartition(".")
    return getattr(prepared.get_submodule(path), attribute)


def quantized_values(converted: GraphModule) -> list[str]:
    """Names of the values that a graph of `convert` quantizes, in the order in which it does."""
    names = name_values(converted)
    return [
        names[node.args[0]]
        for node in converted.graph.nodes
        if node.target is torch.ops.quantized_decomposed.quantize_per_tensor.default
    ]
