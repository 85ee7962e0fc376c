"""ONNX files as strangers have them: weights beside, other kinds of files, training mode, damaged bytes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from complexity.cli import main  # noqa: E402
from complexity.measurement import measure_onnx  # noqa: E402
from runtime.errors import ModelFileError, TinysceneError  # noqa: E402
from tests.complexity.onnx_builder import Builder, conv_net, residual_block  # noqa: E402


def with_external_data(folder, name="outside"):
    """A convolution whose weight lies in NAME.onnx.data; returns the .onnx and the same net in one file."""
    inline = conv_net([1, 1, 16, 16], folder / "inline.onnx")
    path = folder / f"{name}.onnx"
    onnx.save_model(
        onnx.load(inline), path, save_as_external_data=True, location=f"{name}.onnx.data", size_threshold=0
    )
    return path, inline


def test_weights_beside_the_file_count(tmp_path):
    path, inline = with_external_data(tmp_path)
    report = measure_onnx(path)
    assert report.totals() == measure_onnx(inline).totals()
    assert report.file_bytes == path.stat().st_size + (tmp_path / "outside.onnx.data").stat().st_size


def test_missing_weights_are_an_error_that_names_their_file(tmp_path):
    path, _ = with_external_data(tmp_path)
    (tmp_path / "outside.onnx.data").unlink()
    for command in ("check", "compare"):
        with pytest.raises(ModelFileError, match=r"outside\.onnx\.data"):
            main([command, str(path)])


def test_weights_that_were_cut_short_are_an_error(tmp_path):
    path, _ = with_external_data(tmp_path)
    (tmp_path / "outside.onnx.data").write_bytes(bytes(100))
    with pytest.raises(ModelFileError, match=r"outside\.onnx\.data has 100 bytes"):
        measure_onnx(path)


def test_weights_outside_the_folder_are_refused_as_onnx_runtime_does(tmp_path):
    path, _ = with_external_data(tmp_path)
    model = onnx.load(path, load_external_data=False)
    (entry,) = (e for e in model.graph.initializer[0].external_data if e.key == "location")
    entry.value = "../outside.onnx.data"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match=r"\.\./outside\.onnx\.data"):
        measure_onnx(path)


def test_shapes_beside_the_file_are_read(tmp_path):
    build = Builder([1, 4, 6])
    build.save(tmp_path / "inline.onnx", build.node("Reshape", "x", build.constant(np.array([1, 24]))))
    onnx.save_model(
        onnx.load(tmp_path / "inline.onnx"), tmp_path / "net.onnx", save_as_external_data=True,
        location="net.bin", size_threshold=0,
    )  # fmt: skip
    assert measure_onnx(tmp_path / "net.onnx").layers[0].output_shape == (1, 24)


def test_an_output_without_a_shape_is_legal(tmp_path):
    path = conv_net([1, 1, 16, 16], tmp_path / "net.onnx")
    expected = measure_onnx(path).totals()
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    path.write_bytes(model.SerializeToString())
    assert measure_onnx(path).totals() == expected


def test_an_input_without_a_shape_needs_one(tmp_path):
    path = conv_net([1, 1, 16, 16], tmp_path / "net.onnx")
    expected = measure_onnx(path).totals()
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    path.write_bytes(model.SerializeToString())
    assert measure_onnx(path, input_shape=(1, 1, 16, 16)).totals() == expected
    with pytest.raises(ModelFileError, match=r"'x'.*--input-shape"):
        measure_onnx(path)


def test_an_output_may_be_an_input_or_a_constant(tmp_path):
    path = conv_net([1, 1, 16, 16], tmp_path / "net.onnx")
    expected = measure_onnx(path)
    model = onnx.load(path)
    model.graph.output.append(model.graph.input[0])
    model.graph.output.append(onnx.helper.make_tensor_value_info("c0", onnx.TensorProto.FLOAT, [4, 1, 3, 3]))
    path.write_bytes(model.SerializeToString())
    assert measure_onnx(path).macs_deployed == expected.macs_deployed


def test_shapes_that_the_graph_computes_are_followed(tmp_path):
    """Flatten as exporters write it for open axes: Shape, Gather, Concat, Reshape."""
    build = Builder(["batch", "frames", 6], opset=17)
    size = build.node("Shape", "x")
    parts = [build.node("Gather", size, build.constant(np.array([axis]))) for axis in (1, 2)]
    flat = build.node("Mul", *parts)
    shape = build.node("Concat", build.node("Gather", size, build.constant(np.array([0]))), flat, axis=0)
    path = build.save(tmp_path / "net.onnx", build.node("Reshape", "x", shape))
    assert measure_onnx(path, input_shape=(3, 7, 6)).layers[-1].output_shape == (1, 42)


@pytest.mark.parametrize("opset", [9, 13, 17])
def test_a_training_mode_batch_norm_is_named(tmp_path, opset):
    build = Builder([1, 4, 6, 6], opset=opset)
    statistics = [build.constant(np.ones(4, np.float32)) for _ in range(4)]
    outputs = {9: 5, 13: 5, 17: 3}[opset]
    training = {} if opset < 14 else {"training_mode": 1}
    y = build.node("BatchNormalization", "x", *statistics, outputs=outputs, **training)
    with pytest.raises(ModelFileError, match=r"training mode.*BatchNormalization"):
        measure_onnx(build.save(tmp_path / "net.onnx", y[0]))


@pytest.mark.parametrize("training", [True, False])
def test_a_dropout_that_drops_is_named(tmp_path, training):
    build = Builder([1, 4], opset=13)
    ratio, flag = build.constant(np.array(0.5, np.float32)), build.constant(np.array(training))
    path = build.save(tmp_path / "net.onnx", build.node("Relu", build.node("Dropout", "x", ratio, flag)))
    if not training:
        assert measure_onnx(path).elementwise_ops == 4
        return
    with pytest.raises(ModelFileError, match=r"training mode.*Dropout"):
        measure_onnx(path)


def test_a_suffix_in_capitals_is_the_same_suffix(tmp_path, capsys):
    shutil.copy(conv_net([1, 1, 16, 16], tmp_path / "net.onnx"), tmp_path / "MODEL.ONNX")
    assert main(["check", str(tmp_path / "MODEL.ONNX"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["macs_deployed"] == 4 * 9 * 14 * 14


CONTENT = {
    "empty": (b"", "empty"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
    "html": (b"<!DOCTYPE html><html>404</html>", "HTML"),
    "text": (b"a recipe of nothing\n" * 20, "text"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\nsize 3\n", "git lfs pull"),
    "gzip": (b"\x1f\x8b" + bytes(100), "gzip"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
}


@pytest.mark.parametrize("kind", CONTENT)
def test_a_file_of_another_kind_is_named_as_what_it_is(tmp_path, kind):
    content, named = CONTENT[kind]
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=named):
        measure_onnx(path)


def test_a_folder_is_named_as_such(tmp_path):
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(ModelFileError, match="folder"):
        measure_onnx(tmp_path / "model.onnx")


def test_a_model_that_is_newer_than_onnx_quotes_the_version(tmp_path):
    path = conv_net([1, 1, 16, 16], tmp_path / "net.onnx")
    model = onnx.load(path)
    model.ir_version = 99
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match="99"):
        measure_onnx(path)


@pytest.mark.parametrize("size", [0, 10, 100, 500])
def test_any_truncation_is_refused_in_one_sentence(tmp_path, size):
    whole = residual_block(tmp_path / "block.onnx", "qdq").read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[:size])
    with pytest.raises(ModelFileError, match=r"cut\.onnx"):
        measure_onnx(path)


def test_damaged_bytes_are_counted_or_refused_and_nothing_else(tmp_path):
    whole = residual_block(tmp_path / "block.onnx", "qdq").read_bytes()
    path, random = tmp_path / "damaged.onnx", np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[random.integers(0, len(damaged), 4)] = random.integers(0, 256, 4)
        path.write_bytes(damaged.tobytes())
        try:
            measure_onnx(path)
        except TinysceneError:
            refused += 1
    assert refused > 50
