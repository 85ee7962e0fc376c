"""Small ONNX graphs, written by hand."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Collects nodes and initializers; every method returns the name of its output."""

    def __init__(self, input_shape, *, opset=21):
        self.nodes, self.initializers, self.opset = [], [], opset
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)

    def constant(self, array, name=None):
        name = name or f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op, *inputs, domain="", outputs=1, **attributes):
        names = [f"t{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(
            helper.make_node(op, inputs, names, name=f"n{len(self.nodes)}", domain=domain, **attributes)
        )
        return names[0] if outputs == 1 else names

    def conv(self, x, channels, out_channels, kernel, *, bias=False, **attributes):
        group = attributes.get("group", 1)
        weight = self.constant(np.ones((out_channels, channels // group, *kernel), np.float32))
        biases = [self.constant(np.ones(out_channels, np.float32))] if bias else []
        return self.node("Conv", x, weight, *biases, **attributes)

    def quantize(self, x, *, zero=0):
        return self.node("QuantizeLinear", x, self._scale(), self.constant(np.array(zero, np.uint8)))

    def dequantize(self, q, *, zero=0):
        return self.node("DequantizeLinear", q, self._scale(), self.constant(np.array(zero, np.uint8)))

    def requantize(self, x):
        return self.dequantize(self.quantize(x))

    def weight_int8(self, shape):
        weight = self.constant(np.ones(shape, np.int8))
        scale = self.constant(np.full(shape[0], 0.1, np.float32))
        zero = self.constant(np.zeros(shape[0], np.int8))
        return self.node("DequantizeLinear", weight, scale, zero, axis=0)

    def save(self, path, output, **metadata):
        graph = helper.make_graph(
            self.nodes, "g", [self.input], [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.initializers,
        )  # fmt: skip
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        helper.set_model_props(model, metadata)
        inferred = onnx.shape_inference.infer_shapes(model).graph.output[0]
        inferred.type.tensor_type.shape.SetInParent()  # the checker wants a shape, be it of a scalar
        model.graph.output[0].CopyFrom(inferred)
        onnx.save(model, path)
        return path

    def _scale(self):
        return self.constant(np.array(0.1, np.float32))
