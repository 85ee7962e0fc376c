"""Means of integers are exact, in whatever order a runtime adds: otherwise a mean near a tie flips."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.fx import GraphModule

import export.onnx_graph
from export.c.read_graph import read_network
from export.lint import lint
from export.metadata import describe_int8
from export.onnx_graph import to_onnx
from export.passes.integer_operators import average_integers
from runtime.model.session import INPUT, OUTPUT, run_optimized, run_unoptimized
from tests.small_students import SHAPE
from train.networks import build
from train.quantization.observers import DEFAULT_OBSERVER
from train.quantization.ptq import calibrate
from train.quantization.quantizer import PORTABLE

ENTRIES = 80 * 32  # of BC-ResNet's mean over channels and frames
NUMERATOR, DENOMINATOR = 4, 1021  # of a sum's step over a result's step: no sum is a tie


def _mean_of_map(scale: float) -> onnx.ModelProto:
    """The mean over channels and frames of integers 0 to 255, as the exporter writes it."""
    result = scale * DENOMINATOR / (NUMERATOR * ENTRIES)
    constants = {
        "scale": np.array(scale, np.float32), "step": np.array(result, np.float32),
        "zero": np.array(0, np.uint8), "axes": np.array([1, 3]),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", [INPUT, "scale", "zero"], ["map"]),
        node("DequantizeLinear", ["map", "scale", "zero"], ["values"]),
        node("ReduceMean", ["values", "axes"], ["mean"]),
        node("QuantizeLinear", ["mean", "step", "zero"], ["steps"]),
        node("DequantizeLinear", ["steps", "step", "zero"], [OUTPUT]),
    ]
    given = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", 80, 128, 32])
    wanted = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", 1, 128, 1])
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "mean", [given], [wanted], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_a_mean_is_that_of_exact_arithmetic() -> None:
    scale, random = 0.0302175, np.random.default_rng(0)
    model = _mean_of_map(scale)
    energies = random.exponential(random.integers(3, 25, (60, 1, 128, 1)), (60, 80, 128, 32))
    integers = np.minimum(energies, 255).astype(np.int64)
    x = (integers * scale).astype(np.float32)
    sums = integers.sum(axis=(1, 3), keepdims=True)
    exact = (2 * NUMERATOR * sums + DENOMINATOR) // (2 * DENOMINATOR)
    assert exact.min() < 30 and 200 < exact.max() < 255

    average_integers(model)
    step = numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == "step"))
    for run in (run_optimized, run_unoptimized):
        steps = np.rint(run(model.SerializeToString(), x)[0] / step)
        np.testing.assert_array_equal(steps, exact)


@pytest.fixture(scope="module")
def bc_resnet() -> GraphModule:
    """A BC-ResNet in INT8."""
    torch.manual_seed(0)
    network = build("bc_resnet", {"n_classes": 3, "base_channels": 8}).eval()
    return calibrate(network, torch.randn(16, *SHAPE[1:])).int8_model(network, DEFAULT_OBSERVER, PORTABLE)


def test_every_mean_of_bc_resnet_reads_integers(bc_resnet: GraphModule) -> None:
    model = to_onnx(bc_resnet, SHAPE)
    assert lint(model, (-64, 63)) == []
    means = [node for node in model.graph.node if node.op_type == "ReduceMean"]
    producers = {node.output[0]: node for node in model.graph.node}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    read = [producers[node.input[0]] for node in means]
    assert len(means) >= 10
    assert all(node.op_type == "DequantizeLinear" and constants[node.input[1]] == 1 for node in read)
    assert describe_int8(model, PORTABLE, {})["float_statistics"]
    used = {name for node in model.graph.node for name in node.input}
    assert set(producers) <= used | {OUTPUT}


def test_files_of_earlier_releases_become_the_same_c(
    bc_resnet: GraphModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    operators = read_network(to_onnx(bc_resnet, SHAPE)).operators
    monkeypatch.setattr(export.onnx_graph, "average_integers", lambda model: None)
    earlier = read_network(to_onnx(bc_resnet, SHAPE)).operators
    assert [repr(operator) for operator in operators] == [repr(operator) for operator in earlier]
