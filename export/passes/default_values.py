"""Leaves out attributes and inputs that hold ONNX's default: they would be 15 KB of a 170 KB file."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper

_QDQ = ("QuantizeLinear", "DequantizeLinear")


def drop_default_values(graph: onnx.GraphProto) -> None:
    """Remove attributes, and zero points of biases, that equal the standard's default, in place."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        defaults: dict[str, Any] = {"auto_pad": b"NOTSET", "dilations": [1, 1], "group": 1}
        if node.op_type in _QDQ:
            quantized = tensors.get(node.input[0])
            if quantized is not None and quantized.data_type == onnx.TensorProto.INT32:
                del node.input[2:]  # the zero point of a bias is zero
            if not tensors[node.input[1]].dims:
                defaults = {"axis": 1}  # one scale for the whole tensor has no axis
        for entry in list(node.attribute):
            if defaults.get(entry.name) == helper.get_attribute_value(entry):
                node.attribute.remove(entry)
