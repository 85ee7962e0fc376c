"""Shapes of the inputs of an ONNX file: one or several, open axes, the batch."""

from __future__ import annotations

import json

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from complexity.cli import main  # noqa: E402
from complexity.measurement import measure_onnx  # noqa: E402
from runtime.errors import ConfigError, ModelFileError  # noqa: E402
from tests.complexity.onnx_builder import conv_net  # noqa: E402


def two_inputs(path, a, b):
    """y = concat(a @ w, b), where w is 16 x 4."""
    weight = numpy_helper.from_array(np.ones((16, 4), np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["a", "w"], ["h"]),
        helper.make_node("Concat", ["h", "b"], ["y"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("a", a), ("b", b))]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", inputs, [output], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def recurrent(path):
    """A waveform and a recurrent state, as voice detectors have: only the first axis of one is the batch."""
    constants = {"w": (1, 16, 6), "r": (1, 16, 4)}
    node = helper.make_node("LSTM", ["x", "w", "r", "", "", "h", "c"], ["", "y"], hidden_size=4)
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [50, "batch", "features"]),
        helper.make_tensor_value_info("h", TensorProto.FLOAT, [1, "batch", 4]),
        helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, "batch", 4]),
    ]
    graph = helper.make_graph(
        [node], "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in constants.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_an_open_size_asks_for_the_input_shape(tmp_path):
    path = conv_net(["batch", 1, 16, "frames"], tmp_path / "open.onnx")
    with pytest.raises(ModelFileError, match="--input-shape"):
        measure_onnx(path)
    for wrong in ((1, 16, 16), (1, 3, 16, 16)):
        with pytest.raises(ConfigError, match=r"\?,1,16,\?"):
            measure_onnx(path, input_shape=wrong)


def test_each_of_several_inputs_has_its_shape(tmp_path):
    path = two_inputs(tmp_path / "two.onnx", ["n", 16], ["n", "k"])
    report = measure_onnx(path, input_shape={"a": (1, 16), "b": (1, 3)})
    assert report.macs_deployed == 16 * 4
    assert dict(report.peak.tensors)["b"] == 3 * 4


def test_axes_of_one_name_complete_each_other(tmp_path):
    report = measure_onnx(recurrent(tmp_path / "net.onnx"), input_shape={"x": (50, 1, 6)})
    assert report.macs_deployed == 50 * (16 * 6 + 16 * 4)


def test_a_batch_that_all_inputs_share_counts_as_one(tmp_path):
    one = measure_onnx(two_inputs(tmp_path / "one.onnx", [1, 16], [1, 3]))
    eight = measure_onnx(two_inputs(tmp_path / "eight.onnx", [8, 16], [8, 3]))
    assert eight.totals() == one.totals()


@pytest.mark.parametrize(
    ("shapes", "facts"),
    [
        ((1, 16), r"a=\?,16 .*b=\?,\?"),
        ({"c": (1, 16)}, "'c'.*a, b"),
        ({"a": (1, 17)}, "'a'.*1,17"),
        ({"a": (1, 16, 1)}, "'a'.*1,16,1"),
        ({"a": (2, 16), "b": (1, 3)}, "'n'.*2.*'b'.*1"),
        ({"b": (1, 0)}, "1,0"),
    ],
)
def test_shapes_that_do_not_fit_name_the_input(tmp_path, shapes, facts):
    path = two_inputs(tmp_path / "two.onnx", ["n", 16], ["n", "k"])
    with pytest.raises(ConfigError, match=facts):
        measure_onnx(path, input_shape=shapes)


def test_an_open_axis_of_several_inputs_names_the_input(tmp_path):
    with pytest.raises(ModelFileError, match=r"'b'.*--input-shape b=1,"):
        measure_onnx(two_inputs(tmp_path / "two.onnx", ["n", 16], ["n", "k"]))


def test_the_command_takes_a_shape_for_each_input(tmp_path, capsys):
    path = str(two_inputs(tmp_path / "two.onnx", ["n", 16], ["n", "k"]))
    assert main(["check", path, "--json", "--input-shape", "a=1,16", "--input-shape", "b=1,3"]) == 0
    assert json.loads(capsys.readouterr().out)["macs_deployed"] == 64
    for twice in (["a=1,16", "a=1,16"], ["1,16", "1,3"], ["a=1,16", "1,3"]):
        options = [word for shape in twice for word in ("--input-shape", shape)]
        with pytest.raises(ConfigError, match="--input-shape"):
            main(["check", path, *options])


@pytest.mark.parametrize("text", ["b=1,0", "b=", "1,x", "", "b=1;3"])
def test_what_is_no_shape_is_refused(tmp_path, capsys, text):
    with pytest.raises(SystemExit) as stopped:
        main(["check", "two.onnx", "--input-shape", text])
    assert stopped.value.code == 2
    assert "--input-shape" in capsys.readouterr().err
