"""Checks an INT8 file against the scheme of `train.quantization.quantizer`, whoever wrote the file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from export.passes.graph_edges import Arrows

_LAYERS = ("Conv", "Gemm", "MatMul")
_FOLLOWERS = ("Relu",)  # run inside the requantization of what they follow
_LAYOUT = ("Reshape", "Transpose")  # on integers they move values and change none


def lint(
    model: onnx.ModelProto, weight_range: tuple[int, int], keep_float: tuple[str, ...] = ()
) -> list[str]:
    """Hold an INT8 graph against the scheme.

    Args:
        model: of ``quantize``, ``dequantize`` and float nodes between them.
        weight_range: least and greatest integer weight.
        keep_float: modules that may stay float; nodes carry the name of their module.

    Returns:
        One sentence for every fault; empty where there is none.
    """
    graph = Arrows(model)
    faults = [*_external(model), *_pairs(graph)]
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        if _is_kept(node, keep_float) or _is_integer(graph, node.output[0]):
            continue
        if node.op_type in _LAYERS:
            faults += _layer(graph, node, weight_range)
        faults += _island(graph, node)
    return faults


def _is_kept(node: onnx.NodeProto, keep_float: tuple[str, ...]) -> bool:
    modules = [name.partition(":")[0] for name in keep_float]  # a node knows its module, not its value
    return any(
        node.name == module or node.name.startswith((f"{module}.", f"{module}:")) for module in modules
    )


def _external(model: onnx.ModelProto) -> Iterator[str]:
    if any(tensor.external_data for tensor in model.graph.initializer):
        yield "weights lie in another file"
    if any(entry.domain not in ("", "ai.onnx") for entry in model.opset_import):
        yield "operators of a domain that is not standard ONNX"


def _pairs(graph: Arrows) -> Iterator[str]:
    """Activations are uint8 per tensor, and what is quantized is dequantized by the same parameters."""
    for node in graph.nodes:
        if node.op_type != "QuantizeLinear":
            continue
        scale, zero = graph.parameters(node)
        if scale.size != 1 or zero.dtype != np.uint8:
            yield f"'{node.output[0]}' is not uint8 with one scale"
        for user in _readers(graph, node.output[0]):
            if user.op_type != "DequantizeLinear" or list(user.input[1:]) != list(node.input[1:]):
                yield f"'{node.output[0]}' is not read by a dequantization with its own parameters"


def _readers(graph: Arrows, integers: str) -> Iterator[onnx.NodeProto]:
    """Who reads an integer tensor, in whatever layout."""
    for user in graph.users[integers]:
        if user.op_type in _LAYOUT:
            yield from _readers(graph, user.output[0])
        else:
            yield user


def _is_integer(graph: Arrows, name: str) -> bool:
    """Whether a tensor is a quantized one, in whatever layout."""
    maker = graph.maker.get(name)
    while maker is not None and maker.op_type in _LAYOUT:
        maker = graph.maker.get(maker.input[0])
    return maker is not None and maker.op_type == "QuantizeLinear"


def _layer(graph: Arrows, node: onnx.NodeProto, weight_range: tuple[int, int]) -> Iterator[str]:
    """Weights are int8 initialisers, symmetric per output channel; biases int32 at the product of scales."""
    name = node.name or node.output[0]
    makers = [graph.maker.get(tensor) for tensor in node.input]
    if any(maker is None or maker.op_type != "DequantizeLinear" for maker in makers):
        yield f"layer '{name}' has an input, weight or bias that is not quantized"
        return
    x, w, *bias = makers
    weight = graph.constants.get(w.input[0])
    scale, zero = graph.parameters(w)
    if weight is None or weight.dtype != np.int8:
        yield f"the weight of '{name}' is no int8 initialiser"
        return
    if scale.shape != (weight.shape[0],) or zero.any():
        yield f"the weight of '{name}' is not symmetric with one scale per output channel"
    if weight.min() < weight_range[0] or weight.max() > weight_range[1]:
        yield f"a weight of '{name}' lies outside [{weight_range[0]}, {weight_range[1]}]"
    for b in bias:
        bias_scale, _ = graph.parameters(b)
        if graph.constants[b.input[0]].dtype != np.int32:
            yield f"the bias of '{name}' is not int32"
        elif not np.allclose(bias_scale, scale * graph.parameters(x)[0], rtol=1e-5):
            yield f"the bias of '{name}' is not at the product of the scales of input and weight"


def _island(graph: Arrows, node: onnx.NodeProto) -> Iterator[str]:
    """A feature map goes in by a dequantization and out by a quantization, but for a ReLU after it."""
    for name in node.input:
        maker = graph.maker.get(name)
        follows = node.op_type in _FOLLOWERS and maker is not None
        dequantized = maker is not None and maker.op_type == "DequantizeLinear"
        if graph.is_feature_map(name) and not dequantized and not follows:
            yield f"{node.op_type} '{node.name}' reads the feature map '{name}' as float"
    for name in node.output:
        users = graph.users[name]
        integer = all(user.op_type in ("QuantizeLinear", *_FOLLOWERS) for user in users)
        if graph.is_feature_map(name) and not integer:
            yield f"{node.op_type} '{node.name}' leaves the feature map '{name}' in float"
