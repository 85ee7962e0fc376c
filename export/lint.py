"""What must hold of an INT8 graph, whoever made it: the scheme of `train.quantize`, checked on the file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper, shape_inference

_LAYERS = ("Conv", "Gemm", "MatMul")
_FOLLOWERS = ("Relu",)  # run inside the requantization of what they follow
_FEATURE_MAP_AXES = 4  # or more: channels are split in two for a shuffle


class _Graph:
    """A graph with its arrows and shapes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = shape_inference.infer_shapes(model).graph
        self.nodes = list(graph.node)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.maker = {name: node for node in graph.node for name in node.output}
        self.users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.users[name].append(node)
        self.shapes = {
            info.name: [entry.dim_value for entry in info.type.tensor_type.shape.dim]
            for info in (*graph.value_info, *graph.input, *graph.output)
        }
        self.outputs = {info.name for info in graph.output}

    def parameters(self, node: onnx.NodeProto) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.integer]]:
        """Scale and zero point of a quantize or dequantize node; a missing zero point is zero."""
        scale = self.constants[node.input[1]]
        zero = self.constants[node.input[2]] if len(node.input) > 2 else np.zeros_like(scale, np.int32)
        return scale, zero

    def is_feature_map(self, name: str) -> bool:
        """Whether a tensor is a map over mels and frames, and no statistic of one."""
        shape = self.shapes.get(name, [])
        return len(shape) >= _FEATURE_MAP_AXES and shape[-2] != 1 and shape[-1] != 1


def lint(
    model: onnx.ModelProto, weight_range: tuple[int, int], keep_float: tuple[str, ...] = ()
) -> list[str]:
    """Hold an INT8 graph against the scheme.

    Args:
        model: of ``quantize``, ``dequantize`` and float nodes between them.
        weight_range: least and greatest integer weight.
        keep_float: modules that may stay float; nodes carry the name of their module.

    Returns:
        One sentence for every fault; empty where there is none.
    """
    graph = _Graph(model)
    faults = [*_external(model), *_pairs(graph)]
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        if _is_kept(node, keep_float):
            continue
        if node.op_type in _LAYERS:
            faults += _layer(graph, node, weight_range)
        faults += _island(graph, node)
    return faults


def _is_kept(node: onnx.NodeProto, keep_float: tuple[str, ...]) -> bool:
    modules = [name.partition(":")[0] for name in keep_float]  # a node knows its module, not its value
    return any(
        node.name == module or node.name.startswith((f"{module}.", f"{module}:")) for module in modules
    )


def _external(model: onnx.ModelProto) -> Iterator[str]:
    if any(tensor.external_data for tensor in model.graph.initializer):
        yield "weights lie in another file"
    if any(entry.domain not in ("", "ai.onnx") for entry in model.opset_import):
        yield "operators of a domain that is not standard ONNX"


def _pairs(graph: _Graph) -> Iterator[str]:
    """Activations are uint8 per tensor, and what is quantized is dequantized by the same parameters."""
    for node in graph.nodes:
        if node.op_type != "QuantizeLinear":
            continue
        scale, zero = graph.parameters(node)
        if scale.size != 1 or zero.dtype != np.uint8:
            yield f"'{node.output[0]}' is not uint8 with one scale"
        for user in graph.users[node.output[0]]:
            if user.op_type != "DequantizeLinear" or list(user.input[1:]) != list(node.input[1:]):
                yield f"'{node.output[0]}' is not read by a dequantization with its own parameters"


def _layer(graph: _Graph, node: onnx.NodeProto, weight_range: tuple[int, int]) -> Iterator[str]:
    """Weights are int8 initialisers, symmetric per output channel; biases int32 at the product of scales."""
    name = node.name or node.output[0]
    makers = [graph.maker.get(tensor) for tensor in node.input]
    if any(maker is None or maker.op_type != "DequantizeLinear" for maker in makers):
        yield f"layer '{name}' has an input, weight or bias that is not quantized"
        return
    x, w, *bias = makers
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
        elif not np.allclose(bias_scale, scale * graph.parameters(x)[0], rtol=1e-5):
            yield f"the bias of '{name}' is not at the product of the scales of input and weight"


def _island(graph: _Graph, node: onnx.NodeProto) -> Iterator[str]:
    """A feature map goes in by a dequantization and out by a quantization, but for a ReLU after it."""
    for name in node.input:
        maker = graph.maker.get(name)
        follows = node.op_type in _FOLLOWERS and maker is not None
        dequantized = maker is not None and maker.op_type == "DequantizeLinear"
        if graph.is_feature_map(name) and not dequantized and not follows:
            yield f"{node.op_type} '{node.name}' reads the feature map '{name}' as float"
    for name in node.output:
        users = graph.users[name]
        integer = all(user.op_type in ("QuantizeLinear", *_FOLLOWERS) for user in users)
        if graph.is_feature_map(name) and not integer:
            yield f"{node.op_type} '{node.name}' leaves the feature map '{name}' in float"
