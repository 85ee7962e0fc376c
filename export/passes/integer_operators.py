"""Replaces operators by equal ones that runtimes have an integer kernel for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from export.passes.graph_edges import GraphEdges


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
    one = numpy_helper.from_array(np.array(1, np.float32), "unit_scale")
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        dequantize = edges.producer.get(node.input[0]) if node.op_type == "ReduceMean" else None
        users = edges.consumers[node.output[0]]
        if (
            dequantize is None
            or dequantize.op_type != "DequantizeLinear"
            or any(user.op_type != "QuantizeLinear" for user in users)
            or edges.is_feature_map(node.output[0])  # the mean of few values, which would be scaled as a map
        ):
            nodes.append(node)
            continue
        integers, scale, *zero = dequantize.input
        steps, mean = f"{node.output[0]}:steps", f"{node.output[0]}:mean"
        nodes.append(helper.make_node("DequantizeLinear", [integers, one.name, *zero], [steps]))
        nodes.append(helper.make_node("ReduceMean", [steps, *node.input[1:]], [mean], node.name))
        nodes[-1].attribute.extend(node.attribute)
        nodes.append(helper.make_node("Mul", [mean, scale], [node.output[0]], node.name))
    if len(nodes) == len(graph.node):
        return
    graph.initializer.append(one)
    # a dequantization that nothing reads keeps ONNX Runtime from moving transposes past its sibling
    read = {name for node in nodes for name in node.input} | {output.name for output in graph.output}
    needed = [node for node in nodes if node.op_type != "DequantizeLinear" or node.output[0] in read]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in needed]
    graph.ClearField("node")
    graph.node.extend(copies)


def _constants(graph: onnx.GraphProto) -> dict[str, npt.NDArray[np.generic]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
