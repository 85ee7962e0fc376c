"""If in an ONNX graph: one branch is executed, both are stored; loops are refused."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from complexity.measurement import measure_onnx  # noqa: E402
from runtime.errors import ModelFileError  # noqa: E402
from tests.complexity.invariants import check_invariants  # noqa: E402
from tests.complexity.onnx_builder import Builder  # noqa: E402


def value(name):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def product(x, rows, columns):
    """A branch that multiplies an outer tensor by a weight of its own; every branch uses the same names."""
    weight = numpy_helper.from_array(np.ones((rows, columns), np.float32), "w")
    node = helper.make_node("MatMul", [x, "w"], ["o"])
    return helper.make_graph([node], "branch", [], [value("o")], [weight])


def conditional(path, make_branches, *, times=1):
    """A condition on the sum of x [1, 16], and so many If after each other."""
    build = Builder([1, 16], opset=17)
    total = build.node("ReduceSum", "x", keepdims=0)
    condition = build.node("Cast", total, to=TensorProto.BOOL)
    x = "x"
    for _ in range(times):
        then_branch, else_branch = make_branches(x)
        x = build.node("If", condition, then_branch=then_branch, else_branch=else_branch)
    graph = helper.make_graph(build.nodes, "g", [build.input], [value(x)], build.initializers)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def test_branches_of_equal_cost_count_once_and_are_stored_twice(tmp_path):
    path = conditional(tmp_path / "if.onnx", lambda x: (product(x, 16, 4), product(x, 16, 4)))
    report = measure_onnx(path)
    assert (report.macs, report.macs_deployed, report.params) == (64, 64, 2 * 64)
    assert report.param_bytes_deployed == 2 * 64 * 4
    assert "If" not in report.deployed
    check_invariants(report)


def test_the_costlier_branch_counts_and_the_report_says_so(tmp_path):
    for branches in ((4, 8), (8, 4)):
        path = conditional(tmp_path / "if.onnx", lambda x, b=branches: tuple(product(x, 16, n) for n in b))
        report = measure_onnx(path)
        assert (report.macs_deployed, report.params) == (16 * 8, 16 * 12)
        assert "If" in report.deployed
        assert "64 MACs" in report.deployed
        assert "128 MACs" in report.deployed


def test_many_conditions_count_each(tmp_path):
    path = conditional(tmp_path / "if.onnx", lambda x: (product(x, 16, 16), product(x, 16, 16)), times=5)
    report = measure_onnx(path)
    assert (report.macs_deployed, report.params) == (5 * 256, 10 * 256)


def test_a_branch_inside_a_branch(tmp_path):
    def nested(x):
        inner = helper.make_node(
            "If", ["t1_0"], ["p"], then_branch=product(x, 16, 4), else_branch=product(x, 16, 8)
        )
        then_branch = helper.make_graph([inner], "outer", [], [value("p")])
        return then_branch, product(x, 16, 2)

    report = measure_onnx(conditional(tmp_path / "if.onnx", nested))
    assert (report.macs_deployed, report.params) == (16 * 8, 16 * (8 + 4 + 2))


def test_a_branch_for_another_input_shape_is_left_out(tmp_path):
    path = conditional(tmp_path / "if.onnx", lambda x: (product(x, 16, 4), product(x, 17, 400)))
    report = measure_onnx(path)
    assert report.macs_deployed == 64
    assert "then_branch" in report.deployed
    path = conditional(tmp_path / "if.onnx", lambda x: (product(x, 15, 4), product(x, 17, 4)))
    with pytest.raises(ModelFileError, match=r"if\.onnx"):
        measure_onnx(path)


def test_a_condition_on_shapes_is_decided(tmp_path):
    """What torch.onnx.export writes for squeeze: If the axis has one element, squeeze it."""
    build = Builder(["batch", 1, 16], opset=17)
    size = build.node("Gather", build.node("Shape", "x"), build.constant(np.array(1)))
    condition = build.node("Equal", size, build.constant(np.array(1)))
    axes = numpy_helper.from_array(np.array([1]), "axes")
    squeeze = helper.make_graph(
        [helper.make_node("Squeeze", ["x", "axes"], ["o"])], "b", [], [value("o")], [axes]
    )
    same = helper.make_graph([helper.make_node("Identity", ["x"], ["o"])], "b", [], [value("o")])
    y = build.node("If", condition, then_branch=squeeze, else_branch=same)
    z = build.node("MatMul", y, build.constant(np.ones((16, 4), np.float32)))
    report = measure_onnx(build.save(tmp_path / "if.onnx", z))
    assert report.layers[-1].output_shape == (1, 4)


@pytest.mark.parametrize("op", ["Loop", "Scan"])
def test_a_loop_is_refused_by_name(tmp_path, op):
    build = Builder([3, 4], opset=17)
    if op == "Scan":
        body = helper.make_graph(
            [helper.make_node("Relu", ["v"], ["r"])], "b",
            [helper.make_tensor_value_info("v", TensorProto.FLOAT, [4])],
            [helper.make_tensor_value_info("r", TensorProto.FLOAT, [4])],
        )  # fmt: skip
        y = build.node("Scan", "x", num_scan_inputs=1, body=body)
    else:
        nodes = [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Relu", ["v"], ["r"])]
        flags = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("go", "on")]
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 4]) for name in ("v", "r")]
        step = helper.make_tensor_value_info("i", TensorProto.INT64, [])
        body = helper.make_graph(nodes, "b", [step, flags[0], values[0]], [flags[1], values[1]])
        y = build.node("Loop", build.constant(np.array(3)), build.constant(np.array(True)), "x", body=body)
    with pytest.raises(ModelFileError, match=op):
        measure_onnx(build.save(tmp_path / "loop.onnx", y))
