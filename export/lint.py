"""Lint of an INT8 graph: every rule of the scheme in `train.quantization.quantizer`, checked on the file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx

from export.passes.graph_edges import LAYOUT, GraphEdges

_LAYERS = ("Conv", "Gemm", "MatMul")
_FUSED = ("Relu",)  # computed in the requantization of the operator before it


def lint(
    model: onnx.ModelProto, weight_range: tuple[int, int], keep_float: tuple[str, ...] = ()
) -> list[str]:
    """Check an INT8 graph against the scheme.

    Args:
        model: of ``quantize``, ``dequantize`` and float nodes between them.
        weight_range: least and greatest integer weight.
        keep_float: modules that may stay float; nodes carry the name of their module.

    Returns:
        One sentence for each fault; an empty list where there is none.
    """
    graph = GraphEdges(model)
    faults = [*_external(model), *_pairs(graph)]
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        if _stays_float(node, keep_float) or graph.quantizer(node.output[0]) is not None:
            continue
        if node.op_type in _LAYERS:
            faults += _layer(graph, node, weight_range)
        faults += _no_float_map(graph, node)
    return faults


def _stays_float(node: onnx.NodeProto, keep_float: tuple[str, ...]) -> bool:
    modules = [name.partition(":")[0] for name in keep_float]  # nodes are named by module, not by value
    return any(
        node.name == module or node.name.startswith((f"{module}.", f"{module}:")) for module in modules
    )


def _external(model: onnx.ModelProto) -> Iterator[str]:
    if any(tensor.external_data for tensor in model.graph.initializer):
        yield "weights are stored in another file"
    if any(entry.domain not in ("", "ai.onnx") for entry in model.opset_import):
        yield "operators of a domain that is not standard ONNX"


def _pairs(graph: GraphEdges) -> Iterator[str]:
    """Activations are uint8 with one scale per tensor, dequantized with their own parameters.

    A mean reads their integers, with a scale of 1 (`export.passes.integer_operators.average_integers`).
    """
    for node in graph.nodes:
        if node.op_type != "QuantizeLinear":
            continue
        scale, zero = graph.parameters(node)
        if scale.size != 1 or zero.dtype != np.uint8:
            yield f"'{node.output[0]}' is not uint8 with one scale"
        for user in _readers(graph, node.output[0]):
            own = list(user.input[1:]) == list(node.input[1:])
            if user.op_type != "DequantizeLinear" or not (own or _for_mean(graph, user, zero)):
                yield f"'{node.output[0]}' is not read by a dequantization with its own parameters"


def _for_mean(graph: GraphEdges, node: onnx.NodeProto, zero: npt.NDArray[np.integer]) -> bool:
    """Whether a dequantization gives integers less their zero point, and means alone read them."""
    scale, subtracted = graph.parameters(node)
    plain = scale.tolist() == 1 and np.array_equal(subtracted, zero)
    return plain and all(user.op_type == "ReduceMean" for user in graph.consumers[node.output[0]])


def _readers(graph: GraphEdges, integers: str) -> Iterator[onnx.NodeProto]:
    """The nodes that read an integer tensor, in any layout."""
    for user in graph.consumers[integers]:
        if user.op_type in LAYOUT:
            yield from _readers(graph, user.output[0])
        else:
            yield user


def _layer(graph: GraphEdges, node: onnx.NodeProto, weight_range: tuple[int, int]) -> Iterator[str]:
    """Weights are int8 initialisers, symmetric per output channel; biases int32 at the product of scales."""
    name = node.name or node.output[0]
    found = (graph.producer.get(tensor) for tensor in node.input)
    producers = [each for each in found if each is not None and each.op_type == "DequantizeLinear"]
    if len(producers) < len(node.input):
        yield f"layer '{name}' has an input, weight or bias that is not quantized"
        return
    x, w, *bias = producers
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
        elif not np.allclose(bias_scale, np.multiply(scale, graph.parameters(x)[0]), rtol=1e-5):
            yield f"the bias of '{name}' is not at the product of the scales of input and weight"


def _no_float_map(graph: GraphEdges, node: onnx.NodeProto) -> Iterator[str]:
    """Between integer layers no feature map is float: each operator dequantizes, computes and quantizes."""
    for name in node.input:
        producer = graph.producer.get(name)
        fused = node.op_type in _FUSED and producer is not None
        dequantized = producer is not None and producer.op_type == "DequantizeLinear"
        if graph.is_feature_map(name) and not dequantized and not fused:
            yield f"{node.op_type} '{node.name}' reads the feature map '{name}' as float"
    for name in node.output:
        readers = graph.consumers[name]
        integer = all(reader.op_type in ("QuantizeLinear", *_FUSED) for reader in readers)
        if graph.is_feature_map(name) and not integer:
            yield f"{node.op_type} '{node.name}' leaves the feature map '{name}' in float"
