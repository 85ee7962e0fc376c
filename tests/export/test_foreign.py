"""``python -m export quantize other.onnx``: INT8 for a model of another toolkit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from export.cli import main
from runtime.errors import DataError, ModelFileError


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A convolution, a ReLU, a global pool; input ``x``, output ``y``."""
    generator = np.random.default_rng(0)
    weight = numpy_helper.from_array(generator.normal(size=(8, 1, 3, 3)).astype(np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 1, 16, 16])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 8, 1, 1])
    graph = helper.make_graph(nodes, "other", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "other.onnx")
    folder = tmp_path / "calibration"
    folder.mkdir()
    for index in range(8):
        np.save(folder / f"{index}.npy", generator.normal(size=(1, 1, 16, 16)).astype(np.float32))
    return tmp_path / "other.onnx"


def test_foreign_model_becomes_int8(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", str(other), "--calibration", str(other.parent / "calibration")]) == 0
    assert "100.0% of 8 inputs" in capsys.readouterr().out
    model = onnx.load(other.with_suffix(".int8.onnx"))
    weights = [numpy_helper.to_array(t) for t in model.graph.initializer if t.dims == [8, 1, 3, 3]]
    assert len(weights) == 1 and weights[0].dtype == np.int8
    assert weights[0].min() >= -64 and weights[0].max() <= 64


def test_bad_input_is_one_sentence_and_no_file(other: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"holds no \.npy files"):
        main(["quantize", str(other), "--calibration", str(empty)])
    np.save(empty / "wrong.npy", np.zeros((1, 3, 4), np.float32))
    with pytest.raises(DataError, match="does not take"):
        main(["quantize", str(other), "--calibration", str(empty)])
    with pytest.raises(ModelFileError, match=r"no ONNX model"):
        main(["quantize", str(tmp_path / "none.onnx"), "--calibration", str(empty)])
    assert not list(tmp_path.glob("*.int8.onnx"))
