"""``python -m export quantize other.onnx``: INT8 for a float model of any toolkit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from complexity.measurement import measure_onnx
from export.cli.main import main
from export.quantize_onnx import quantize_onnx
from runtime import load_model
from runtime.errors import DataError, ModelFileError, TinysceneError
from runtime.model.self_test import allowed_steps
from train.checkpoints.model_pt import Checkpoint, save
from train.networks import build

SHAPE = (1, 1, 16, 16)
Edit = Callable[[onnx.ModelProto], None]


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    folder = tmp_path / "calibration"
    folder.mkdir()
    generator = np.random.default_rng(1)
    for index in range(8):
        np.save(folder / f"{index}.npy", generator.normal(size=SHAPE).astype(np.float32))
    return folder


def make_model(opset: int = 17) -> onnx.ModelProto:
    """A convolution, a batch norm, a ReLU, a global pool; input ``x``, output ``y``."""
    generator = np.random.default_rng(0)
    constants = {
        "w": generator.normal(size=(8, 1, 3, 3)),
        **{name: np.abs(generator.normal(size=8)) + 0.5 for name in ("scale", "bias", "mean", "var")},
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["b"]),
        helper.make_node("Relu", ["b"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 1, 16, 16])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 8, 1, 1])
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "other", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    onnx.save(make_model(), tmp_path / "other.onnx")
    return tmp_path / "other.onnx"


def quantize(model: Path, calibration: Path) -> onnx.ModelProto:
    """Quantize, and read the result without any file beside it."""
    output = model.parent / "result" / "int8.onnx"
    output.parent.mkdir(exist_ok=True)
    assert main(["quantize", str(model), "--calibration", str(calibration), "-o", str(output)]) == 0
    assert [path.name for path in output.parent.iterdir()] == ["int8.onnx"]
    return onnx.load(output)


def int8_weights(model: onnx.ModelProto) -> list[np.ndarray]:
    arrays = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    return [array for array in arrays if array.dtype == np.int8 and array.ndim == 4]


def refusal(model: Path, calibration: Path) -> str:
    """The sentence that refuses, after which there is no file."""
    with pytest.raises(TinysceneError) as caught:
        main(["quantize", str(model), "--calibration", str(calibration)])
    assert str(caught.value).count("\n") == 0
    assert not list(model.parent.glob("*.int8.onnx"))
    return str(caught.value)


def test_float_model_becomes_int8(other: Path, calibration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", str(other), "--calibration", str(calibration)]) == 0
    assert "100.0% of 8 inputs" in capsys.readouterr().out
    (weight,) = int8_weights(onnx.load(other.with_suffix(".int8.onnx")))
    assert weight.min() >= -64 and weight.max() <= 64


@pytest.mark.parametrize("opset", [9, 11, 12])
def test_old_opsets_are_converted(opset: int, tmp_path: Path, calibration: Path) -> None:
    onnx.save(make_model(opset), tmp_path / "old.onnx")
    model = quantize(tmp_path / "old.onnx", calibration)
    assert len(int8_weights(model)) == 1
    assert next(entry.version for entry in model.opset_import if not entry.domain) >= 13


def test_weights_beside_the_model_are_read(tmp_path: Path, calibration: Path) -> None:
    """As torch writes them by default; without them the missing file is named."""
    path = tmp_path / "beside.onnx"
    onnx.save(make_model(), path, save_as_external_data=True, location="beside.onnx.data", size_threshold=0)
    assert len(int8_weights(quantize(path, calibration))) == 1
    (tmp_path / "beside.onnx.data").unlink()
    assert "beside.onnx.data" in refusal(path, calibration)


def test_output_without_shape_and_capital_suffix(tmp_path: Path, calibration: Path) -> None:
    model = make_model()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "NOSHAPE.ONNX", format="protobuf")
    assert len(int8_weights(quantize(tmp_path / "NOSHAPE.ONNX", calibration))) == 1


def _batch_norm_in_training(model: onnx.ModelProto) -> None:
    model.graph.node[1].attribute.append(helper.make_attribute("training_mode", 1))
    model.graph.node[1].output.extend(["running_mean", "running_var"])


def _dropout_in_training(model: onnx.ModelProto) -> None:
    for name, value in (("ratio", np.float32(0.5)), ("training", np.array(True))):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    model.graph.node[-1].input[0] = "dropped"
    model.graph.node.insert(3, helper.make_node("Dropout", ["r", "ratio", "training"], ["dropped"]))


@pytest.mark.parametrize("edit", [_batch_norm_in_training, _dropout_in_training])
def test_training_mode_is_named(edit: Edit, tmp_path: Path, calibration: Path) -> None:
    model = make_model()
    edit(model)
    onnx.save(model, tmp_path / "training.onnx")
    assert "training mode" in refusal(tmp_path / "training.onnx", calibration)


def test_model_in_training_mode_as_torch_exports_it(tmp_path: Path, calibration: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)).train()
    torch.onnx.export(
        network, (torch.zeros(SHAPE),), tmp_path / "t.onnx", dynamo=False, opset_version=17,
        training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False, verbose=False,
    )  # fmt: skip
    assert "training mode" in refusal(tmp_path / "t.onnx", calibration)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full(SHAPE, np.nan, np.float32), ["NaN"]),
        (np.zeros((1, 16, 16), np.float32), ["float32 [1, 16, 16]", "'x' float32 [?, 1, 16, 16]"]),
        (np.zeros((1, 1, 16, 17), np.float32), ["float32 [1, 1, 16, 17]", "[?, 1, 16, 16]"]),
        (np.zeros(SHAPE, np.complex64), ["complex64", "float32"]),
        (np.zeros(SHAPE, bool), ["bool", "float32"]),
    ],
)
def test_array_that_does_not_fit_is_named(
    array: np.ndarray, words: list[str], other: Path, calibration: Path
) -> None:
    np.save(calibration / "bad.npy", array)
    sentence = refusal(other, calibration)
    assert all(word in sentence for word in ["bad.npy", *words])


def test_doubles_are_taken_as_floats(other: Path, calibration: Path) -> None:
    np.save(calibration / "double.npy", np.zeros(SHAPE, np.float64))
    quantize(other, calibration)


def test_bad_files_are_one_sentence(other: Path, tmp_path: Path, calibration: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no .npy" in refusal(other, tmp_path / "empty")
    assert "missing" in refusal(other, tmp_path / "missing")
    assert "is a file" in refusal(other, calibration / "0.npy")
    assert "is a folder" in refusal(calibration, calibration)
    assert "none.onnx" in refusal(tmp_path / "none.onnx", calibration)
    (tmp_path / "text.onnx").write_text("not a model, but a text")
    assert "text.onnx" in refusal(tmp_path / "text.onnx", calibration)
    (calibration / "text.npy").write_text("not an array")
    with pytest.raises(DataError, match=r"text\.npy"):
        main(["quantize", str(other), "--calibration", str(calibration)])
    int8 = quantize(other, _without(calibration, "text.npy"))
    onnx.save(int8, tmp_path / "again.onnx")
    with pytest.raises(ModelFileError, match="quantized already"):
        main(["quantize", str(tmp_path / "again.onnx"), "--calibration", str(calibration)])


def _without(folder: Path, name: str) -> Path:
    (folder / name).unlink()
    return folder


def test_several_inputs_come_from_npz_files(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])
    index = helper.make_tensor_value_info("index", onnx.TensorProto.INT64, [1])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 4])
    weight = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Gather", ["w", "index"], ["g"]),
        helper.make_node("Add", ["m", "g"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "two", [x, index], [y], [numpy_helper.from_array(weight, "w")])
    path = tmp_path / "two.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    folder = tmp_path / "calibration"
    folder.mkdir()
    np.save(folder / "0.npy", np.zeros((1, 4), np.float32))
    assert ".npz" in refusal(path, folder)
    np.savez(folder / "0.npz", x=np.ones((1, 4), np.float32))
    sentence = refusal(path, folder)
    assert "0.npz" in sentence and "'index'" in sentence
    np.savez(folder / "0.npz", x=np.ones((1, 4), np.float32), index=np.zeros(1, np.int32))
    quantize(path, folder)


def test_own_float_export_loads_in_the_runtime(
    float_onnx: Path, checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its description, self-test vectors and checksum are those of the INT8 graph."""
    path, folder = tmp_path / "model.onnx", tmp_path / "calibration"
    shutil.copy(float_onnx, path)
    folder.mkdir()
    for index, window in enumerate(checkpoint.calibration.float().numpy()):
        np.save(folder / f"{index}.npy", window[None])
    assert main(["quantize", str(path), "--calibration", str(folder)]) == 0
    assert "--quantize ptq" in capsys.readouterr().out  # the better command
    model, reference = load_model(path.with_suffix(".int8.onnx")), load_model(float_onnx)
    assert model.spec.quantization["scheme"] == "int8" and model.labels == reference.labels
    x = checkpoint.calibration.float().numpy()
    same = model.session.logits(x).argmax(1) == reference.session.logits(x).argmax(1)
    assert same.mean() >= 0.9
    report, before = (measure_onnx(p) for p in (path.with_suffix(".int8.onnx"), float_onnx))
    assert report.params == before.params and report.param_bytes < before.param_bytes / 3


def test_own_file_with_float_statistics_says_so(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """ResNorm's roundings may differ on another CPU by more than those of integer layers."""
    arguments = {"n_classes": len(checkpoint.labels), "base_channels": 4}
    weights = build("bc_resnet", arguments).state_dict()
    model_pt, path, folder = tmp_path / "model.pt", tmp_path / "model.onnx", tmp_path / "calibration"
    save(replace(checkpoint, student="bc_resnet", arguments=arguments, state_dict=weights), model_pt)
    assert main(["onnx", str(model_pt), "-o", str(path), "--quantize", "none"]) == 0
    folder.mkdir()
    for index, window in enumerate(checkpoint.calibration[:8].float().numpy()):
        np.save(folder / f"{index}.npy", window[None])
    assert main(["quantize", str(path), "--calibration", str(folder)]) == 0
    spec = load_model(path.with_suffix(".int8.onnx")).spec
    assert spec.quantization["float_statistics"] and allowed_steps(spec) == 8


def test_the_float_file_is_not_replaced(other: Path, calibration: Path) -> None:
    before = other.read_bytes()
    with pytest.raises(TinysceneError, match="would replace"):
        main(["quantize", str(other), "--calibration", str(calibration), "-o", str(other)])
    assert other.read_bytes() == before


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["w", "bias"])
def test_broken_weights_are_named(name: str, value: float, tmp_path: Path, calibration: Path) -> None:
    model = make_model()
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    array = numpy_helper.to_array(tensor).copy()
    array.flat[3] = value
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(model, tmp_path / "broken.onnx")
    assert f"'{name}' has 1 of {array.size}" in refusal(tmp_path / "broken.onnx", calibration)


def test_outputs_that_are_not_finite_are_refused(tmp_path: Path, calibration: Path) -> None:
    model = make_model()
    model.graph.node[-1].output[0] = "pooled"
    model.graph.node.append(helper.make_node("Add", ["pooled", "mask"], ["y"]))
    mask = np.zeros((1, 8, 1, 1), np.float32)
    mask[0, 2] = -np.inf
    model.graph.initializer.append(numpy_helper.from_array(mask, "mask"))
    onnx.save(model, tmp_path / "masked.onnx")
    assert "infinite outputs" in refusal(tmp_path / "masked.onnx", calibration)


def test_every_row_of_a_batch_is_compared(other: Path, tmp_path: Path, calibration: Path) -> None:
    rows = np.concatenate([np.load(path) for path in sorted(calibration.iterdir())])
    batch = tmp_path / "batch"
    batch.mkdir()
    np.save(batch / "all.npy", rows)
    one = quantize_onnx(other, calibration, tmp_path / "one.onnx")
    whole = quantize_onnx(other, batch, tmp_path / "whole.onnx")
    assert (whole.inputs, whole.agreement) == (one.inputs, one.agreement) == (len(rows), 1.0)
    assert whole.error == pytest.approx(one.error, rel=0.5)
