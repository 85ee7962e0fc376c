"""The deployed count of ONNX graphs: closed forms, INT8 forms, and what cannot be counted."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")

from complexity.counters.onnx_graph.count import count_onnx  # noqa: E402
from complexity.measurement import measure_onnx  # noqa: E402
from runtime.errors import ModelFileError  # noqa: E402
from runtime.spec import FrontEndSpec, ModelSpec  # noqa: E402
from tests.complexity.closed_form import expect, layers  # noqa: E402
from tests.complexity.invariants import check_invariants  # noqa: E402
from tests.complexity.onnx_builder import Builder, conv_net, residual_block  # noqa: E402


@settings(max_examples=60, deadline=None)
@given(layers=layers, channels=st.integers(1, 4), size=st.integers(4, 9), classes=st.integers(1, 4))
def test_random_networks_equal_a_closed_form(tmp_path_factory, layers, channels, size, classes):
    expected = expect(layers, channels, size, classes)
    build = Builder([1, channels, size, size + 3])
    x = "x"
    for layer, width in zip(layers, expected.channels, strict=True):
        kernel = layer["kernel"]
        window = {
            "kernel_shape": [kernel] * 2, "strides": [layer["stride"]] * 2, "pads": [kernel // 2] * 4,
        }  # fmt: skip
        if layer["kind"] == "relu":
            x = build.node("Relu", x)
        elif layer["kind"] == "pool":
            x = build.node("AveragePool", x, **window)
        else:
            depthwise = layer["kind"] == "depthwise"
            out, group = (width, width) if depthwise else (layer["out"], 1)
            x = build.conv(x, width, out, (kernel, kernel), bias=layer["bias"], group=group, **window)
    x = build.node(
        "Gemm", build.node("Flatten", x), build.constant(np.ones((expected.features, classes), "f"))
    )
    report = measure_onnx(build.save(tmp_path_factory.mktemp("net") / "net.onnx", x))

    assert (report.macs_deployed, report.elementwise_ops) == (expected.macs, expected.elementwise)
    assert (report.params, report.macs) == (expected.params, expected.official)
    assert report.param_bytes_by_dtype == {"float32": 4 * expected.params}
    check_invariants(report)


@pytest.mark.parametrize("form", ["float", "qdq", "qoperator"])
def test_int8_forms_count_as_the_float_network_in_a_byte_each(tmp_path, form):
    report = measure_onnx(residual_block(tmp_path / "block.onnx", form))
    weights, area = 32 * 16 + 32 * 9 + 16 * 32, 64
    itemsize = 4 if form == "float" else 1
    assert (report.params, report.macs_deployed) == (weights, weights * area)
    assert (report.param_bytes, report.param_bytes_deployed) == (weights * itemsize, weights * itemsize)
    # the depthwise convolution: its input and output, and the shortcut
    assert report.peak_activation_bytes == (32 + 32 + 16) * area * itemsize
    assert (
        report.quantization_bytes
        == {
            "float": 0,
            "qdq": 4 + 1 + 80 * (4 + 1),
            "qoperator": 4 + 1 + 3,
        }[form]
    )
    kinds = [layer.kind for layer in report.layers if layer.macs_deployed]
    assert kinds == ["Conv" if form == "float" else "Conv (int8)"] * 3
    check_invariants(report)


def test_a_float_island_between_int8_operators_is_held_in_float(tmp_path):
    build = Builder([1, 4, 8, 8])
    q = build.quantize("x")
    x = build.node("Conv", build.dequantize(q), build.weight_int8((4, 4, 1, 1)))
    x = build.requantize(x)
    total = build.node("ReduceSum", x, build.constant(np.array([2, 3])), keepdims=1)
    scaled = build.node("Mul", x, build.requantize(total))
    report = measure_onnx(build.save(tmp_path / "island.onnx", build.requantize(scaled)))
    kinds = {layer.name: layer.kind for layer in report.layers}
    assert "ReduceSum" in kinds.values()
    assert "Mul (int8)" in kinds.values()
    # int8 output of the convolution, its float copy for the sum, and the four sums
    assert report.peak_activation_bytes == 4 * 64 * (1 + 4) + 4 * 4


def test_tied_weights_count_once(tmp_path):
    build = Builder([1, 4, 6, 6])
    weight = build.constant(np.ones((4, 4, 3, 3), np.float32))
    x = "x"
    for _ in range(3):
        x = build.node("Conv", x, weight, pads=[1] * 4)
    report = measure_onnx(build.save(tmp_path / "tied.onnx", x))
    assert report.params == 4 * 4 * 9
    assert report.macs_deployed == 3 * 4 * 4 * 9 * 36


@pytest.mark.parametrize(
    ("op", "weights", "attributes", "expected"),
    [
        ("MatMul", [(6, 5)], {}, 3 * 6 * 5),
        ("Einsum", [(6, 7)], {"equation": "bti,io->bto"}, 3 * 6 * 7),
        ("Einsum", [(6, 7)], {"equation": "...i,io->...o"}, 3 * 6 * 7),
        ("ConvTranspose", [(3, 4, 2)], {}, 3 * 6 * 4 * 2),
        ("LSTM", [(1, 16, 6), (1, 16, 4)], {"hidden_size": 4}, 3 * 16 * 10),
        ("GRU", [(1, 12, 6), (1, 12, 4)], {"hidden_size": 4}, 3 * 12 * 10),
        ("RNN", [(2, 4, 6), (2, 4, 4)], {"hidden_size": 4, "direction": "bidirectional"}, 3 * 2 * 4 * 10),
    ],
)
def test_products_and_recurrences(tmp_path, op, weights, attributes, expected):
    build = Builder([1, 3, 6])  # [batch, time or channels, features or time]
    x = build.node("Transpose", "x", perm=[1, 0, 2]) if op in ("LSTM", "GRU", "RNN") else "x"
    output = build.node(
        op, x, *(build.constant(np.ones(shape, np.float32)) for shape in weights), **attributes
    )
    report = measure_onnx(build.save(tmp_path / "net.onnx", output))
    assert report.macs_deployed == expected
    assert report.params == sum(int(np.prod(shape)) for shape in weights)


def test_attention_is_two_products_that_the_rule_misses(tmp_path):
    batch, heads, queries, keys, width = 1, 2, 5, 7, 4
    build = Builder([batch, heads, queries, width], opset=23)
    key, value = (build.constant(np.ones((batch, heads, keys, width), np.float32)) for _ in range(2))
    output = build.node("Attention", "x", key, value)
    report = measure_onnx(build.save(tmp_path / "attention.onnx", output))
    assert report.macs_deployed == 2 * heads * queries * keys * width
    assert report.macs == 0
    assert report.uncounted[0].macs >= report.macs_deployed


def test_unfolded_batch_norm_counts_in_its_own_column(tmp_path):
    build = Builder([1, 4, 6, 6])
    statistics = [build.constant(np.ones(4, np.float32)) for _ in range(4)]
    output = build.node("BatchNormalization", "x", *statistics)
    report = measure_onnx(build.save(tmp_path / "norm.onnx", output))
    assert (report.params, report.macs, report.macs_deployed) == (8, 8, 0)
    assert report.elementwise_ops == 2 * 4 * 36
    assert report.param_bytes_deployed == 16 * 4  # the running statistics are stored too


def test_batch_does_not_matter(tmp_path):
    one = measure_onnx(conv_net([1, 1, 16, 16], tmp_path / "one.onnx"))
    for shape in ([8, 1, 16, 16], ["batch", 1, 16, 16]):
        assert measure_onnx(conv_net(shape, tmp_path / "other.onnx")).totals() == one.totals()
    opened = conv_net(["batch", 1, "mels", "frames"], tmp_path / "open.onnx")
    assert measure_onnx(opened, input_shape=(5, 1, 16, 16)).totals() == one.totals()


def test_sizes_that_are_built_into_a_reshape_are_refused(tmp_path):
    build = Builder([4, 2, 3, 3])
    output = build.node("Reshape", "x", build.constant(np.array([4, 18])))
    path = build.save(tmp_path / "batch.onnx", output)
    with pytest.raises(ModelFileError, match=r"batch of 1.*--input-shape x=4,2,3,3"):
        measure_onnx(path)
    with pytest.raises(ModelFileError, match=r"Reshape.*72.*18"):
        measure_onnx(path, input_shape=(1, 2, 3, 3))


@pytest.mark.parametrize(
    ("op", "domain", "named"), [("NonZero", "", "NonZero"), ("Foo", "com.microsoft", "Foo")]
)
def test_an_unknown_operator_is_named(tmp_path, op, domain, named):
    build = Builder([1, 4])
    with pytest.raises(ModelFileError, match=named):
        measure_onnx(build.save(tmp_path / "unknown.onnx", build.node(op, "x", domain=domain)))


def test_weights_that_stay_in_float_count_four_bytes_by_the_rule(tmp_path):
    build = Builder([1, 8, 4, 4])
    x = build.node("Conv", build.requantize("x"), build.weight_int8((8, 8, 3, 3)))
    x = build.conv(build.requantize(x), 8, 2, (1, 1), bias=True)
    report = measure_onnx(build.save(tmp_path / "mixed.onnx", x))
    assert report.params == 576 + 16 + 2
    assert report.param_bytes == 576 + 16 * 4 + 2  # biases count in the main data type
    assert report.param_bytes_by_dtype == {"int8": 576, "float32": 18 * 4}


def test_a_file_of_this_project_holds_the_official_count_of_its_float_network(tmp_path):
    frontend = FrontEndSpec.preset("cp_mel")
    spec = ModelSpec(
        labels=("a", "b"), frontend=frontend, complexity={"params": 1000, "macs": 2000},
        quantization={"scheme": "int8"},
    )  # fmt: skip
    build = Builder(["batch", 1, 256, 64])
    x = build.node("Conv", build.requantize("x"), build.weight_int8((2, 1, 3, 3)))
    path = build.save(tmp_path / "ours.onnx", build.requantize(x), model_spec=spec.to_json())
    report = measure_onnx(path)
    assert (report.params, report.param_bytes, report.macs) == (1000, 1000, 2000)
    assert report.macs_deployed == 2 * 9 * 254 * 62
    assert report.front_end_macs > 1_000_000
    assert report.layers[0].macs is None


def test_an_onnx_file_is_measured_without_torch(tmp_path):
    path = residual_block(tmp_path / "block.onnx", "qdq")
    program = (
        "import json, sys\n"
        "from complexity.cli import main\n"
        f"code = main(['check', {str(path)!r}])\n"
        "print(json.dumps([code, sorted({'torch', 'torchinfo', 'train', 'matplotlib'} & set(sys.modules))]))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert json.loads(out.splitlines()[-1]) == [0, []]


def test_every_listed_operator_is_a_real_one():
    from complexity.counters.onnx_graph.operators import COSTS, IN_PLACE, INTEGER, VIEWS

    assert set(COSTS) <= {schema.name for schema in onnx.defs.get_all_schemas()}
    assert set(COSTS) >= (IN_PLACE | INTEGER | VIEWS)


STEPS = {  # gates, and operations and multiplications of a unit in one step beside the products
    "LSTM": (4, 13, 3),
    "GRU": (3, 10, 2),
    "RNN": (1, 2, 0),
}


@pytest.mark.parametrize("op", STEPS)
def test_a_recurrence_counts_as_in_the_float_network(tmp_path, op):
    gates, operations, multiplies = STEPS[op]
    build = Builder([1, 50, 6])
    sizes = ((1, gates * 4, 6), (1, gates * 4, 4), (1, gates * 8))
    weights = [build.constant(np.full(size, 0.5, np.float32)) for size in sizes]
    rest = build.node("Identity", build.constant(np.zeros((1, 1, 4), np.float32)))
    start = [rest] * (2 if op == "LSTM" else 1)
    steps_first = build.node("Transpose", "x", perm=[1, 0, 2])
    y = build.node(op, steps_first, *weights, "", *start, hidden_size=4)
    report = measure_onnx(build.save(tmp_path / "net.onnx", y))
    assert report.params == gates * 4 * (6 + 4 + 2)  # a start at rest is no parameter
    assert report.macs_deployed == 50 * gates * 4 * (6 + 4)
    assert report.elementwise_ops == 50 * 4 * operations
    nn = pytest.importorskip("torch").nn
    traced = pytest.importorskip("complexity").measure(getattr(nn, op)(6, 4, batch_first=True), (1, 50, 6))
    assert traced.elementwise_ops == report.elementwise_ops
    assert (traced.params, traced.macs, traced.macs_deployed) == (
        report.params, report.macs, report.macs_deployed,
    )  # fmt: skip
    assert count_onnx(tmp_path / "net.onnx").graph.nodes[-1].work.multiplies == 50 * 4 * multiplies


def test_integer_weights_behind_a_cast_are_parameters_and_indices_are_not(tmp_path):
    build = Builder([1, 16])
    weight = build.node("Cast", build.constant(np.ones((16, 8), np.int64)), to=onnx.TensorProto.FLOAT)
    y = build.node("Gather", build.node("MatMul", "x", weight), build.constant(np.arange(4)), axis=1)
    report = measure_onnx(build.save(tmp_path / "net.onnx", y))
    assert (report.params, report.macs, report.macs_deployed) == (128, 128, 128)
