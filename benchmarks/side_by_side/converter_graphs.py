"""The FP32 graph as the converters of other engines get it right.

The batch is fixed at 1, and the mean over channels, the only reduction, is written otherwise: pnnx drops axes
that are an input (as from opset 18 on), and onnx2tf takes the mean over an axis of its own layout. Both
convert the graph as it is without an error, and the logits are wrong, which parity finds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

_OPSET = 17  # the last with axes as an attribute


def for_pnnx(source: Path, target: Path) -> None:
    """Write the graph with ReduceMean's axes as an attribute."""
    model = _with_fixed_batch(source)
    for node in _means(model):
        del node.input[1:], node.attribute[:]
        node.attribute.extend([helper.make_attribute("axes", [1]), helper.make_attribute("keepdims", 1)])
    model.opset_import[0].version = _OPSET
    _save(model, target)


def for_onnx2tf(source: Path, target: Path) -> None:
    """Write the graph with a 1x1 convolution for the mean over the channels of [1, channels, 1, 1]."""
    model = _with_fixed_batch(source)
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in model.graph.value_info
    }
    for number, node in enumerate(_means(model)):
        channels, weights = shapes[node.input[0]][1], f"mean_weights_{number}"
        mean = np.full((1, channels, 1, 1), 1 / channels, np.float32)
        model.graph.initializer.append(numpy_helper.from_array(mean, weights))
        node.op_type = "Conv"
        del node.input[1:], node.attribute[:]
        node.input.append(weights)
        node.attribute.append(helper.make_attribute("kernel_shape", [1, 1]))
    _save(model, target)


def _with_fixed_batch(source: Path) -> onnx.ModelProto:
    model = onnx.load(source)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:], model.metadata_props[:]
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(model)
    return inferred


def _means(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "ReduceMean"]


def _save(model: onnx.ModelProto, target: Path) -> None:
    """Without initializers that no node reads any more."""
    used = {name for node in model.graph.node for name in node.input}
    read = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(read)
    onnx.checker.check_model(model)
    onnx.save(model, target)
