"""Replaces operators by equal ones that runtimes have an integer kernel for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from export.passes.graph_edges import GraphEdges
from export.passes.graph_editing import add_constant, insert


def square_by_multiplication(graph: onnx.GraphProto) -> None:
    """Replace x to the power of 2 by x * x, in place."""
    constants = _constants(graph)
    for node in graph.node:
        if node.op_type == "Pow" and constants.get(node.input[1], np.zeros(())).tolist() in (2, [2]):
            node.op_type = "Mul"
            node.input[1] = node.input[0]


def pool_globally(graph: onnx.GraphProto) -> None:
    """Replace the mean over mels and frames by GlobalAveragePool, in place, where it keeps its dimensions."""
    constants = _constants(graph)
    for node in graph.node:
        dropped = any(attribute.name == "keepdims" and not attribute.i for attribute in node.attribute)
        if node.op_type != "ReduceMean" or dropped:
            continue
        if sorted(constants[node.input[1]].tolist()) in ([2, 3], [-2, -1]):
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            node.ClearField("attribute")


def average_integers(model: onnx.ModelProto) -> None:
    """Let ReduceMean average integers, in place: `mean(scale * q)` becomes `scale * mean(1 * q)`.

    A sum of fewer than 2**16 integers of 8 bits is exact in float32, in any order of its terms; that of their
    values is not. Runtimes add in an order of their own, which depends on the layout, so a mean of 2,560
    values near a tie was rounded otherwise with ONNX Runtime's optimizations than without them.
    """
    edges, graph = GraphEdges(model), model.graph
    for mean in [node for node in edges.nodes if _averages_values(edges, node)]:
        result = mean.output[0]
        integers, scale, *zero = edges.producer[mean.input[0]].input
        one = add_constant(graph, "unit_scale", np.array(1, np.float32))
        dequantize = helper.make_node("DequantizeLinear", [integers, one, *zero], [f"{result}:steps"])
        multiply = helper.make_node("Mul", [f"{result}:mean", scale], [result], mean.name)
        insert(graph, mean, before=True, nodes=[dequantize])
        insert(graph, mean, before=False, nodes=[multiply])
        mean.input[0], mean.output[0] = f"{result}:steps", f"{result}:mean"
    # a dequantization that nothing reads keeps ONNX Runtime from moving transposes past its sibling
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for node in list(graph.node):
        if node.op_type == "DequantizeLinear" and node.output[0] not in read:
            graph.node.remove(node)


def _averages_values(edges: GraphEdges, node: onnx.NodeProto) -> bool:
    """Whether a node is the mean of a quantized tensor's values, and becomes integer again."""
    source = edges.producer.get(node.input[0]) if node.op_type == "ReduceMean" else None
    if source is None or source.op_type != "DequantizeLinear" or edges.parameters(source)[0] == 1:
        return False
    if edges.is_feature_map(node.output[0]):  # the mean of few values, which would be scaled as a map
        return False
    return all(user.op_type == "QuantizeLinear" for user in edges.consumers[node.output[0]])


def _constants(graph: onnx.GraphProto) -> dict[str, npt.NDArray[np.generic]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
