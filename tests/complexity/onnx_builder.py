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


def residual_block(path, form):
    """16x8x8 -> expand to 32, depthwise, project to 16, add: in float, as QDQ, or as QOperator."""
    build = Builder([1, 16, 8, 8])
    shapes = [((32, 16, 1, 1), 1), ((32, 1, 3, 3), 32), ((16, 32, 1, 1), 1)]
    scale = build.constant(np.array(0.1, np.float32), "scale")
    zero = build.constant(np.array(0, np.uint8), "zero")
    q = start = build.node("QuantizeLinear", "x", scale, zero) if form != "float" else "x"
    for shape, group in shapes:
        pads = [shape[2] // 2] * 4
        if form == "float":
            q = build.node("Conv", q, build.constant(np.ones(shape, np.float32)), group=group, pads=pads)
        elif form == "qdq":
            x = build.node("DequantizeLinear", q, scale, zero)
            x = build.node("Conv", x, build.weight_int8(shape), group=group, pads=pads)
            q = build.node("QuantizeLinear", build.node("Relu", x), scale, zero)
        else:
            weight = build.constant(np.ones(shape, np.int8))
            weight_zero = build.constant(np.zeros((), np.int8))
            q = build.node(
                "QLinearConv", q, scale, zero, weight, scale, weight_zero, scale, zero, group=group, pads=pads
            )
        if form == "float":
            q = build.node("Relu", q)
    if form == "float":
        output = build.node("Add", q, start)
    elif form == "qdq":
        sides = [build.node("DequantizeLinear", side, scale, zero) for side in (q, start)]
        q = build.node("QuantizeLinear", build.node("Add", *sides), scale, zero)
        output = build.node("DequantizeLinear", q, scale, zero)
    else:
        q = build.node("QLinearAdd", q, scale, zero, start, scale, zero, scale, zero, domain="com.microsoft")
        output = build.node("DequantizeLinear", q, scale, zero)
    return build.save(path, output)


def conv_net(shape, path):
    build = Builder(shape)
    return build.save(path, build.conv("x", 1, 4, (3, 3)))
