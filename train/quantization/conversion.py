"""The INT8 model of a float reference: exported, prepared with observers, scales aligned, converted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from train.quantization.graph.rewriting import replace_square_roots
from train.quantization.graph.scale_alignment import align_scales
from train.quantization.graph.value_names import layers, tensor_at
from train.quantization.observers import ActivationObserver, FixedRange, WeightObserver
from train.quantization.qparams import Range
from train.quantization.quantizer import OPERATIONS, Int8Quantizer, Scheme
from train.quantization.torchao_imports import convert_pt2e, prepare_pt2e, prepare_qat_pt2e
from train.quantization.weights.bias_correction import correct_biases

Ranges = Mapping[str, Range]  # name of a value to the least and the greatest number it has to represent
# name, weight and scales [out_channels] of a layer to the weight rounded to multiples of its scales
Rounding = Callable[[str, Tensor, Tensor], Tensor]
# windows, and the mean outputs of the float reference's layers on them, see `bias_correction.py`
BiasReference = tuple[Tensor, dict[str, Tensor]]
# What a graph is captured of: of a program of `export_program` without exporting the network again
Network = nn.Module | ExportedProgram


def export_program(network: nn.Module, input_shape: tuple[int, ...]) -> ExportedProgram:
    """Export a network with a free batch size, for several graphs of it.

    Args:
        network: in the mode (train or eval) that the graphs will have.
        input_shape: of its input, batch first.
    """
    example = torch.zeros(2, *input_shape[1:])  # the exporter would treat a batch of one as a constant
    return torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))


def capture(network: Network, input_shape: tuple[int, ...]) -> GraphModule:
    """The graph of a network that PT2E works on; it shares the weights of the network.

    Args:
        network: in the mode (train or eval) that the graph will have.
        input_shape: of its input, batch first.
    """
    program = network if isinstance(network, ExportedProgram) else export_program(network, input_shape)
    graph = program.module()
    assert isinstance(graph, GraphModule)
    return graph


def prepare(
    network: Network,
    input_shape: tuple[int, ...],
    scheme: Scheme,
    activation: Callable[[str], ActivationObserver],
    weight: Callable[[str, tuple[int, int]], nn.Module] = WeightObserver,
) -> GraphModule:
    """A network with an observer at every value that becomes integer, batch norm folded.

    Args:
        network: in eval mode; it is not changed.
        input_shape: of its input, batch first.
        scheme: what varies.
        activation: creates the observer of a value from its name.
        weight: creates that of a weight from the name of its layer and the range of its integers.
    """
    quantizer = Int8Quantizer(scheme, activation, weight)
    prepared: GraphModule = prepare_pt2e(capture(network, input_shape), quantizer)
    prepared.meta[OPERATIONS] = quantizer.operations
    return prepared


def prepare_training(
    network: nn.Module,
    input_shape: tuple[int, ...],
    scheme: Scheme,
    activation: Callable[[str], ActivationObserver],
    weight: Callable[[str, tuple[int, int]], nn.Module],
) -> GraphModule:
    """As `prepare`, but trainable: it shares the parameters of the network, and batch norm is not folded.

    Weights are rounded as batch norm will scale them (Krishnamoorthi, arXiv 1806.08342, section 3.2.2).
    """
    quantizer = Int8Quantizer(scheme, activation, weight, integer_bias=False)
    prepared: GraphModule = prepare_qat_pt2e(capture(network, input_shape), quantizer)
    prepared.meta[OPERATIONS] = quantizer.operations
    return replace_square_roots(prepared)


def convert(
    network: Network,
    input_shape: tuple[int, ...],
    ranges: Ranges,
    scheme: Scheme,
    rounding: Rounding | None = None,
    scales: Mapping[str, Sequence[float]] | None = None,
    bias_reference: BiasReference | None = None,
) -> GraphModule:
    """The INT8 model of a network: integer values between quantize and dequantize nodes.

    Args:
        network: in eval mode; it is not changed.
        input_shape: of its input, batch first.
        ranges: of every value that becomes integer, from calibration or QAT.
        scheme: what varies.
        rounding: rounds the weights of a layer; without it they are rounded to nearest.
        scales: of the layers whose weights are multiples of their scales already; the scales of the other
            layers follow from the weights.
        bias_reference: what biases are corrected by; without it they stay as they are.

    Raises:
        KeyError: where ``ranges`` lacks a value.
    """

    def weight(name: str, weight_range: tuple[int, int]) -> WeightObserver:
        return WeightObserver(name, weight_range, (scales or {}).get(name))

    prepared = prepare(network, input_shape, scheme, lambda name: FixedRange(name, ranges[name]), weight)
    align_scales(prepared)
    if rounding is not None:
        _round_weights(prepared, rounding)
    if bias_reference is not None:
        correct_biases(prepared, *bias_reference)
    with torch.no_grad():
        prepared(torch.zeros(2, *input_shape[1:]))  # passes every weight through its observer
    converted: GraphModule = convert_pt2e(prepared)
    return converted


def _round_weights(prepared: GraphModule, rounding: Rounding) -> None:
    for name, node in layers(prepared).items():
        observed = node.args[1]
        assert isinstance(observed, Node)
        if observed.op != "call_module":  # the layer stays float
            continue
        weight, observer = weight_of(prepared, node), prepared.get_submodule(str(observed.target))
        assert isinstance(observer, WeightObserver)
        rounded = rounding(name, observer(weight), observer.scales(weight))
        path, _, attribute = str(observed.all_input_nodes[0].target).rpartition(".")
        setattr(prepared.get_submodule(path), attribute, nn.Parameter(rounded, requires_grad=False))


def weight_of(prepared: GraphModule, layer: Node) -> Tensor:
    """The weight of a layer of a prepared graph, batch norm folded into it."""
    node = layer.args[1]
    assert isinstance(node, Node)
    return tensor_at(prepared, node.all_input_nodes[0] if node.op == "call_module" else node)
