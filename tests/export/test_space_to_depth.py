"""The first convolution reads frames in blocks: the same integers, for every kernel, stride and padding."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.lint import lint
from export.passes.space_to_depth import BLOCK, space_to_depth
from runtime.model.session import INPUT, OUTPUT, run_optimized, run_unoptimized

CHANNELS, MELS = 3, 10


def make_model(frames: int, width: int, stride: int, padding: int, readers: int = 1) -> onnx.ModelProto:
    """A quantized convolution along frames with a ReLU; its input may have other readers."""
    rng = np.random.default_rng(width)
    shape = (CHANNELS, 1, 3, width)
    x_scale = np.float32(0.05)
    w_scales = rng.uniform(0.01, 0.02, CHANNELS).astype(np.float32)
    constants = {
        "x_scale": x_scale, "x_zero": np.uint8(100), "y_scale": np.float32(0.1), "y_zero": np.uint8(3),
        "w": rng.integers(-64, 64, shape, np.int8), "b": rng.integers(-500, 500, CHANNELS, np.int32),
        "w_scale": w_scales, "w_zero": np.zeros(CHANNELS, np.int8), "b_scale": w_scales * x_scale,
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", [INPUT, "x_scale", "x_zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "x_scale", "x_zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wf"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "b_scale"], ["bf"], axis=0),
        helper.make_node(
            "Conv", ["x", "wf", "bf"], ["c"], pads=[1, padding, 1, padding], strides=[2, stride]
        ),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "y_scale", "y_zero"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "y_scale", "y_zero"], [OUTPUT]),
    ]
    outputs = [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", CHANNELS, None, None])]
    for index in range(1, readers):
        nodes.append(helper.make_node("Neg", ["x"], [f"other{index}"]))
        outputs.append(helper.make_tensor_value_info(f"other{index}", TensorProto.FLOAT, None))
    graph = helper.make_graph(
        nodes, "main", [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", 1, MELS, frames])],
        outputs, [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def first_weight(model: onnx.ModelProto) -> tuple[int, ...]:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    return next(tuple(tensors[name].dims) for name in tensors if name.partition(":")[0] == "w")


@pytest.mark.parametrize(
    ("width", "stride", "padding"),
    [(3, 2, 1), (3, 1, 1), (5, 2, 2), (7, 4, 3), (9, 1, 4), (4, 4, 0), (1, 2, 0)],
)
def test_the_integers_stay_the_same(width: int, stride: int, padding: int) -> None:
    model = make_model(8 * BLOCK, width, stride, padding)
    x = np.random.default_rng(0).normal(0, 3, (2, 1, MELS, 8 * BLOCK)).astype(np.float32)
    expected = run_unoptimized(model.SerializeToString(), x)[0]
    assert len(np.unique(expected)) > 50
    space_to_depth(model)
    onnx.checker.check_model(model, full_check=True)
    assert first_weight(model)[:2] == (CHANNELS * BLOCK // stride, BLOCK)
    assert lint(model, (-64, 63)) == []
    for run in (run_unoptimized, run_optimized):
        np.testing.assert_array_equal(run(model.SerializeToString(), x)[0], expected)


@pytest.mark.parametrize(
    "model",
    [
        make_model(8 * BLOCK + 1, 3, 2, 1),  # no whole blocks
        make_model(8 * BLOCK, 3, 3, 1),  # a block holds no whole number of positions
        make_model(8 * BLOCK, 5, 2, 1),  # the output is shorter than whole blocks give
        make_model(8 * BLOCK, 3, 2, 1, readers=2),  # somebody else reads the frames as they are
    ],
)  # fmt: skip
def test_what_does_not_fit_is_left_alone(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    space_to_depth(model)
    assert model.SerializeToString() == before


def test_the_lint_looks_through_a_change_of_layout() -> None:
    model = make_model(8 * BLOCK, 3, 2, 1)
    space_to_depth(model)
    reader = next(node for node in model.graph.node if node.output[0] == "x")
    reader.input[1] = "y_scale"
    assert any("own parameters" in fault for fault in lint(model, (-64, 63)))
