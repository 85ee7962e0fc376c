"""Changes of an ONNX graph that several passes make."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import onnx
from onnx import numpy_helper


def add_constant(graph: onnx.GraphProto, name: str, value: npt.NDArray[Any]) -> str:
    """Add an initializer, unless it is there already; returns its name."""
    if name not in {tensor.name for tensor in graph.initializer}:
        graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def insert(
    graph: onnx.GraphProto, node: onnx.NodeProto, *, before: bool, nodes: list[onnx.NodeProto]
) -> None:
    """Put nodes before or after one of the graph."""
    position = list(graph.node).index(node) + (not before)
    for offset, new in enumerate(nodes):
        graph.node.insert(position + offset, new)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Drop the initializers that no node reads, in place."""
    used = {name for node in graph.node for name in node.input}
    in_use = [tensor for tensor in graph.initializer if tensor.name in used]
    graph.ClearField("initializer")
    graph.initializer.extend(in_use)
