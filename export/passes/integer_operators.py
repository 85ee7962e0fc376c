"""Replaces operators by equal ones that runtimes have an integer kernel for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper


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


def _constants(graph: onnx.GraphProto) -> dict[str, npt.NDArray[np.generic]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
