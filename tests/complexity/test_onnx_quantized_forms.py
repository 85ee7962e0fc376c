"""Quantized ONNX forms: scales and zero points are no parameters, whoever wrote the graph."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
quantization = pytest.importorskip("onnxruntime.quantization")

from complexity.measurement import measure_onnx  # noqa: E402
from tests.complexity.onnx_builder import Builder, residual_block  # noqa: E402


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


def test_a_file_that_onnx_runtime_turned_to_channels_last_counts_as_before(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    path = residual_block(tmp_path / "block.onnx", "qdq")
    runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "optimized.onnx").graph.node
    turned = [node for node in nodes if any(a.name == "channels_last" and a.i for a in node.attribute)]
    assert {node.op_type for node in turned} == {"QLinearConv"}
    expected, report = measure_onnx(path), measure_onnx(tmp_path / "optimized.onnx")
    assert report.macs_deployed == expected.macs_deployed == 64 * (32 * 16 + 32 * 9 + 16 * 32)
    assert (report.params, report.macs) == (expected.params, expected.macs)
    assert report.peak_activation_bytes == expected.peak_activation_bytes


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "work"),
    [
        ("NhwcFusedConv", ("x", "weight"), {"kernel_shape": [3, 3]}, (8 * 4 * 9 * 4 * 8, 0)),
        ("NhwcMaxPool", ("x",), {"kernel_shape": [3, 3]}, (0, 4 * 8 * 4 * 9)),
        (
            "QLinearGlobalAveragePool",
            ("x", "scale", "zero", "scale", "zero"),
            {"channels_last": 1},
            (0, 6 * 10 * 4),
        ),
    ],
)
def test_operators_with_the_channels_last_count_as_those_with_the_channels_first(
    tmp_path, op, inputs, attributes, work
):
    build = Builder([1, 6, 10, 4])
    build.constant(np.ones((8, 4, 3, 3), np.float32), "weight")
    build.constant(np.array(0.1, np.float32), "scale")
    build.constant(np.array(0, np.uint8), "zero")
    y = build.node("Identity", build.node(op, *inputs, domain="com.microsoft", **attributes))
    report = measure_onnx(build.save(tmp_path / "net.onnx", y))
    assert (report.macs_deployed, report.elementwise_ops) == work
    assert report.params == (8 * 4 * 9 if "weight" in inputs else 0)
