"""The lint finds what breaks INT8 on some machine, and passes what the exporter writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.lint import lint

Fault = Callable[[onnx.ModelProto], None]


@pytest.fixture
def model(int8_onnx: Path) -> onnx.ModelProto:
    return onnx.load(int8_onnx)


def _layer_constant(model: onnx.ModelProto, operand: int, part: int) -> onnx.TensorProto:
    """A constant of the second convolution: part (value, scale, zero point) of operand (x, weight, bias)."""
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][1]
    producer = next(node for node in model.graph.node if node.output[0] == convolution.input[operand])
    return next(tensor for tensor in model.graph.initializer if tensor.name == producer.input[part])


def _replace(tensor: onnx.TensorProto, values: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _minus_128(model: onnx.ModelProto) -> None:
    tensor = _layer_constant(model, 1, 0)
    weight = numpy_helper.to_array(tensor).copy()
    weight.flat[3] = -128
    _replace(tensor, weight)


def _one_scale(model: onnx.ModelProto) -> None:
    tensor = _layer_constant(model, 1, 1)
    _replace(tensor, numpy_helper.to_array(tensor)[:1].copy())


def _wrong_bias_scale(model: onnx.ModelProto) -> None:
    tensor = _layer_constant(model, 2, 1)
    _replace(tensor, numpy_helper.to_array(tensor) * np.float32(1.5))


def _float_weight(model: onnx.ModelProto) -> None:
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][1]
    weight = numpy_helper.to_array(_layer_constant(model, 1, 0)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "float_weight"))
    convolution.input[1] = "float_weight"


def _skipped_quantization(model: onnx.ModelProto) -> None:
    """A ReLU's float output goes straight into the next convolution."""
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][1]
    producers = {node.output[0]: node for node in model.graph.node}
    quantizer = producers[producers[convolution.input[0]].input[0]]
    convolution.input[0] = quantizer.input[0]


def _other_dequantization(model: onnx.ModelProto) -> None:
    quantizers = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    quantizers[2].input[1] = quantizers[3].input[1]


def _unscaled_map(model: onnx.ModelProto) -> None:
    """A convolution reads its input with the scale of 1 that only a mean may have."""
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][1]
    producer = next(node for node in model.graph.node if node.output[0] == convolution.input[0])
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "one"))
    producer.input[1] = "one"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (_minus_128, "outside [-64, 63]"),
        (_one_scale, "one scale per output channel"),
        (_wrong_bias_scale, "product of the scales"),
        (_float_weight, "not quantized"),
        (_skipped_quantization, "not quantized"),
        (_other_dequantization, "its own parameters"),
        (_unscaled_map, "its own parameters"),
    ],
)
def test_fault_is_named(model: onnx.ModelProto, fault: Fault, sentence: str) -> None:
    assert lint(model, (-64, 63)) == []
    fault(model)
    faults = lint(model, (-64, 63))
    assert any(sentence in found for found in faults), faults


def test_float_graph_has_no_integer_layer(float_onnx: Path) -> None:
    assert len(lint(onnx.load(float_onnx), (-64, 63))) > 10
