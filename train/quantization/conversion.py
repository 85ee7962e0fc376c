"""The INT8 twin of a student: captured, given observers, their scales settled, converted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from train.quantization.qparams import Range, off_ties, power_of_two, whole_parts
from train.quantization.quantizer import (
    LAYERS,
    Int8Quantizer,
    Observer,
    Operation,
    Scheme,
    WeightObserver,
    end_of_chain,
    name_values,
)
from train.quantization.torchao_imports import convert_pt2e, prepare_pt2e, prepare_qat_pt2e

Ranges = Mapping[str, Range]  # name of a value to the least and the greatest number it has to hold
# name, weight and scales [out_channels] of a layer to the weight on the grid of the scales
Rounding = Callable[[str, Tensor, Tensor], Tensor]

_OPERATIONS = "operations"  # key of a prepared graph's meta


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
    weight: Callable[[str, tuple[int, int]], nn.Module] = WeightObserver,
) -> GraphModule:
    """A network with an observer at every value that becomes integer, batch norm folded.

    Args:
        network: in eval mode; it is left as it is.
        input_shape: of its input, batch first.
        scheme: what varies.
        activation: makes the observer of the value of a given name.
        weight: makes that of a weight, from the name of its layer and the range of its integers.
    """
    quantizer = Int8Quantizer(scheme, activation, weight)
    prepared = prepare_pt2e(capture(network, input_shape), quantizer)
    prepared.meta[_OPERATIONS] = quantizer.operations
    return prepared


def prepare_training(
    network: nn.Module,
    input_shape: tuple[int, ...],
    scheme: Scheme,
    activation: Callable[[str], Observer],
    weight: Callable[[str, tuple[int, int]], nn.Module],
) -> GraphModule:
    """As `prepare`, but trainable: it shares the parameters of the network, and batch norm stays.

    Weights are rounded as batch norm will scale them (Krishnamoorthi, arXiv 1806.08342, section 3.2.2).
    """
    quantizer = Int8Quantizer(scheme, activation, weight, integer_bias=False)
    prepared = prepare_qat_pt2e(capture(network, input_shape), quantizer)
    prepared.meta[_OPERATIONS] = quantizer.operations
    return prepared


def settle(prepared: GraphModule) -> None:
    """Choose the scales of a prepared graph so that no kernel has a tie to break (`qparams.py`).

    Scales move by a few per mille, those of a sum's operands by up to 1/127 of the sum's, and those of what
    float arithmetic makes by less than a factor of two. Where two operations bind the same value, the first
    in the graph is served.
    """
    values, weights = _observers(prepared)
    operations: list[Operation] = prepared.meta[_OPERATIONS]
    for value in values.values():
        value.scale = None
        value.scale, _ = value.parameters()
    made_by_float = {operation.result for operation in operations if operation.kind == "float"}
    for name in made_by_float:
        values[name].scale = power_of_two(values[name].scale)
    for operation in reversed(operations):  # what a later one reads is chosen before what makes it
        _settle_operands(operation, values, made_by_float)
    for operation in operations:
        _settle_result(operation, values)
    for operation in operations:
        if operation.kind == "layer":
            step = values[operation.result].scale / values[operation.operands[0]].scale
            weights[operation.name].step = step


def release(prepared: GraphModule) -> None:
    """Undo `settle`: scales follow the ranges again."""
    values, weights = _observers(prepared)
    for value in values.values():
        value.scale = None
    for weight in weights.values():
        weight.step = None


def _settle_operands(operation: Operation, values: dict[str, Observer], bound: set[str]) -> None:
    """Fit the operands of a sum or product to its result; ``bound`` are the scales that have to stay."""
    result, operands = values[operation.result], [values[name] for name in operation.operands]
    if operation.kind == "sum":
        for operand in operands:
            operand.scale = result.scale * whole_parts(operand.scale / result.scale)
    elif operation.kind == "product":
        free, other = sorted(operands, key=lambda operand: operand.name in bound)
        free.scale = result.scale / other.scale * _off_ties(free.scale * other.scale / result.scale)


def _settle_result(operation: Operation, values: dict[str, Observer]) -> None:
    """Fit the result of a square or pool to its operand."""
    if operation.kind in ("square", "pool"):
        result, operand = values[operation.result], values[operation.operands[0]]
        step = operand.scale**2 if operation.kind == "square" else operand.scale / operation.entries
        result.scale = step / _off_ties(step / result.scale)


def _off_ties(ratio: float) -> float:
    return float(off_ties(torch.tensor(ratio, dtype=torch.float64)))


def _observers(prepared: GraphModule) -> tuple[dict[str, Observer], dict[str, WeightObserver]]:
    """Those of the values and those of the weights, by name."""
    modules = list(prepared.modules())
    values = {module.name: module for module in modules if isinstance(module, Observer)}
    return values, {module.name: module for module in modules if isinstance(module, WeightObserver)}


def layers(model: GraphModule) -> dict[str, Node]:
    """The convolutions and linear layers of a graph by name."""
    names = name_values(model)
    return {names[end_of_chain(node)]: node for node in model.graph.nodes if node.target in LAYERS}


def convert(
    network: nn.Module,
    input_shape: tuple[int, ...],
    ranges: Ranges,
    scheme: Scheme,
    rounding: Rounding | None = None,
    scales: Mapping[str, Sequence[float]] | None = None,
) -> GraphModule:
    """The INT8 twin of a network: integer values between quantize and dequantize nodes.

    Args:
        network: in eval mode; it is left as it is.
        input_shape: of its input, batch first.
        ranges: of every value that becomes integer, from calibration or QAT.
        scheme: what varies.
        rounding: rounds the weights of a layer; without it they are rounded to nearest.
        scales: of weights that lie on their grid already, by layer; the others' follow from the weights.

    Raises:
        KeyError: where ``ranges`` lacks a value.
    """

    def weight(name: str, weight_range: tuple[int, int]) -> WeightObserver:
        return WeightObserver(name, weight_range, (scales or {}).get(name))

    prepared = prepare(network, input_shape, scheme, lambda name: _FixedRange(name, ranges[name]), weight)
    settle(prepared)
    if rounding is not None:
        _round_weights(prepared, rounding)
    with torch.no_grad():
        prepared(torch.zeros(2, *input_shape[1:]))  # weights show themselves to their observers
    return convert_pt2e(prepared)


class _FixedRange(Observer):
    """Gives an activation the parameters of a range that is known already."""

    def __init__(self, name: str, value_range: Range) -> None:
        super().__init__(name)
        self.value_range = value_range

    def forward(self, x: Tensor) -> Tensor:
        return x

    def range(self) -> Range:
        return self.value_range


def _round_weights(prepared: GraphModule, rounding: Rounding) -> None:
    for name, node in layers(prepared).items():
        observed = node.args[1]
        if observed.op != "call_module":  # it stays float
            continue
        weight, observer = weight_of(prepared, node), prepared.get_submodule(observed.target)
        rounded = rounding(name, observer(weight), observer.scales(weight))
        path, _, attribute = observed.args[0].target.rpartition(".")
        setattr(prepared.get_submodule(path), attribute, nn.Parameter(rounded, requires_grad=False))


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
