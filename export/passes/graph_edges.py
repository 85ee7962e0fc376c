"""The edges of an ONNX graph: the producer and the consumers of every tensor, its shape, its value."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper, shape_inference

LAYOUT = ("Reshape", "Transpose")  # they move integers and change none
_FEATURE_MAP_AXES = 4  # or more: channels are split in two for a shuffle


class GraphEdges:
    """A graph with its edges and shapes.

    Args:
        model: read once; later changes of the model are not seen here.

    Attributes:
        nodes: in graph order.
        constants: values of the initializers by name.
        producer: the node that computes a tensor.
        consumers: the nodes that read a tensor.
        shapes: of activations; a free dimension is 0.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = shape_inference.infer_shapes(model).graph
        self.nodes = list(model.graph.node)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.producer = {name: node for node in self.nodes for name in node.output}
        self.consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.consumers[name].append(node)
        self.shapes = {
            info.name: [entry.dim_value for entry in info.type.tensor_type.shape.dim]
            for info in (*graph.value_info, *graph.input, *graph.output)
        }

    def parameters(self, node: onnx.NodeProto) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.integer]]:
        """Scale and zero point of a quantize or dequantize node; a missing zero point is zero."""
        scale = self.constants[node.input[1]]
        zero = self.constants[node.input[2]] if len(node.input) > 2 else np.zeros_like(scale, np.int32)
        return scale, zero

    def quantizer(self, name: str) -> onnx.NodeProto | None:
        """The node that quantized a tensor, in any layout; None where it is no quantized tensor."""
        producer = self.producer.get(name)
        while producer is not None and producer.op_type in LAYOUT:
            producer = self.producer.get(producer.input[0])
        return producer if producer is not None and producer.op_type == "QuantizeLinear" else None

    def is_feature_map(self, name: str) -> bool:
        """Whether a tensor extends over mels and frames, unlike a statistic of one."""
        shape = self.shapes.get(name, [])
        return len(shape) >= _FEATURE_MAP_AXES and shape[-2] != 1 and shape[-1] != 1
