"""Quantized ONNX forms: scales and zero points are no parameters, whoever wrote the graph."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
quantization = pytest.importorskip("onnxruntime.quantization")

from complexity.measurement import measure_onnx  # noqa: E402
from tests.complexity.onnx_builder import Builder  # noqa: E402


def float_net(path):
    """Two convolutions and a matrix product, with biases: 4 x 9 + 4, 8 x 36 + 8, 8 x 3 parameters."""
    build = Builder([1, 1, 10, 10], opset=13)
    x = build.node("Relu", build.conv("x", 1, 4, (3, 3), bias=True))
    x = build.node("GlobalAveragePool", build.conv(x, 4, 8, (3, 3), bias=True))
    x = build.node("Flatten", x)
    return build.save(path, build.node("MatMul", x, build.constant(np.ones((8, 3), np.float32))))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("unsigned", [False, True])
def test_quantize_dynamic_adds_no_parameter(tmp_path, per_channel, unsigned):
    expected = measure_onnx(float_net(tmp_path / "float.onnx"))
    kind = quantization.QuantType.QUInt8 if unsigned else quantization.QuantType.QInt8
    quantization.quantize_dynamic(
        tmp_path / "float.onnx", tmp_path / "int8.onnx", per_channel=per_channel, weight_type=kind
    )
    report = measure_onnx(tmp_path / "int8.onnx")
    assert report.params == expected.params == 40 + 296 + 24
    assert report.macs_deployed == expected.macs_deployed
    assert report.param_bytes_by_dtype["uint8" if unsigned else "int8"] == 36 + 288 + 24
    assert report.quantization_bytes >= 3 * (4 + 1)


def test_a_dynamically_quantized_recurrence_counts_as_the_float_one(tmp_path):
    build = Builder([1, 5, 6], opset=14)
    weights = [build.constant(np.ones(shape, np.float32)) for shape in ((1, 16, 6), (1, 16, 4), (1, 32))]
    steps_first = build.node("Transpose", "x", perm=[1, 0, 2])
    y = build.node("LSTM", steps_first, *weights, hidden_size=4)
    build.save(tmp_path / "float.onnx", y)
    quantization.quantize_dynamic(tmp_path / "float.onnx", tmp_path / "int8.onnx")
    assert "DynamicQuantizeLSTM" in {n.op_type for n in onnx.load(tmp_path / "int8.onnx").graph.node}
    expected, report = measure_onnx(tmp_path / "float.onnx"), measure_onnx(tmp_path / "int8.onnx")
    assert (report.params, report.macs) == (expected.params, expected.macs)
    assert report.macs_deployed == expected.macs_deployed == 5 * 16 * 10
    assert report.param_bytes_by_dtype == {"int8": 16 * 10, "float32": 32 * 4}


@pytest.mark.parametrize(
    ("op", "inputs", "macs"),
    [
        ("FusedConv", ("x", "weight", "bias"), 8 * 4 * 64),
        ("DynamicQuantizeMatMul", ("x", "matrix", "scale", "zero"), 4 * 8 * 8 * 3),
        ("MatMulIntegerToFloat", ("x", "matrix", "scale", "scale", "zero", "zero"), 4 * 8 * 8 * 3),
    ],
)
def test_forms_of_onnx_runtimes_optimizer_count_as_what_they_fuse(tmp_path, op, inputs, macs):
    build = Builder([1, 4, 8, 8])
    constants = {
        "weight": np.ones((8, 4, 1, 1), np.float32),
        "bias": np.ones(8, np.float32),
        "matrix": np.ones((8, 3), np.int8),
        "scale": np.array(0.1, np.float32),
        "zero": np.array(0, np.int8),
    }
    for name in set(inputs) - {"x"}:
        build.constant(constants[name], name)
    y = build.node(op, *inputs, domain="com.microsoft")
    report = measure_onnx(build.save(tmp_path / "net.onnx", build.node("Relu", y)))
    assert report.macs_deployed == macs
    assert report.params == {"FusedConv": 40}.get(op, 24)
