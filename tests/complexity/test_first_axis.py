"""The first axis of an input: a batch counts as 1, a part of the clip counts whole, and doubt is an error."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from complexity.measurement import measure_onnx  # noqa: E402
from runtime.errors import ConfigError, ModelFileError  # noqa: E402
from tests.complexity.onnx_builder import Builder, conv_net  # noqa: E402


def waveform_net(path, shape):
    """4 filters of 64 samples along a waveform without a batch, a mean, 3 logits."""
    build = Builder(shape)
    x = build.node("Unsqueeze", "x", build.constant(np.array([0, 1])))
    x = build.node("ReduceMean", build.conv(x, 1, 4, (64,), strides=[32]), build.constant(np.array([2])))
    return build.save(path, build.node("MatMul", x, build.constant(np.ones((1, 3), np.float32))))


def frames_net(path, shape, *, pooled):
    """Frames of 64 features, 8 units each; their mean, where they are pooled."""
    build = Builder(shape)
    x = build.node("MatMul", "x", build.constant(np.ones((64, 8), np.float32)))
    if pooled:
        x = build.node("ReduceMean", x, build.constant(np.array([0])))
    return build.save(path, build.node("Relu", x))


def recurrent_net(path, shape):
    """An LSTM of 4 units over [time, batch, 6 features]."""
    build = Builder(shape)
    weights = [build.constant(np.ones(size, np.float32)) for size in ((1, 16, 6), (1, 16, 4))]
    return build.save(path, build.node("LSTM", "x", *weights, hidden_size=4))


def attention_net(path, shape):
    """Attention of frames to each other: [time, 16] in and out."""
    build = Builder(shape)
    scores = build.node("MatMul", "x", build.node("Transpose", "x"))
    return build.save(path, build.node("MatMul", build.node("Softmax", scores), "x"))


STEP = 16 * (6 + 4)
WHOLE = {
    "waveform": (waveform_net, [16000], {}, 499 * 4 * 64 + 4 * 3),
    "pooled frames": (frames_net, [1000, 64], {"pooled": True}, 1000 * 64 * 8),
    "time first": (recurrent_net, [50, 1, 6], {}, 50 * STEP),
    "time first, batch second": (recurrent_net, [50, 8, 6], {}, 50 * 8 * STEP),
    "attention": (attention_net, [50, 16], {}, 2 * 50 * 50 * 16),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_first_axis_that_is_no_batch_counts_whole(tmp_path, kind):
    make, shape, arguments, macs = WHOLE[kind]
    report = measure_onnx(make(tmp_path / "net.onnx", shape, **arguments))
    assert report.macs_deployed == macs
    sizes = ",".join(map(str, shape))
    assert f"No axis is taken as a batch: the whole of x={sizes} is one clip." in report.deployed


@pytest.mark.parametrize("kind", WHOLE)
def test_an_open_first_axis_that_is_no_batch_asks_for_its_size(tmp_path, kind):
    make, shape, arguments, macs = WHOLE[kind]
    path = make(tmp_path / "net.onnx", ["time", *shape[1:]], **arguments)
    with pytest.raises(ModelFileError, match="--input-shape"):
        measure_onnx(path)
    assert measure_onnx(path, input_shape=shape).macs_deployed == macs


def test_a_fixed_batch_counts_as_one_and_is_named(tmp_path):
    path = conv_net([8, 1, 16, 16], tmp_path / "eight.onnx")
    one = measure_onnx(conv_net([1, 1, 16, 16], tmp_path / "one.onnx"))
    eight = measure_onnx(path)
    assert eight.totals() == one.totals()
    assert "The first axis of 8 is taken as a batch" in eight.deployed
    assert "--input-shape x=8,1,16,16" in eight.deployed
    assert "batch" not in one.deployed


def test_the_caller_says_whether_a_fixed_first_axis_is_a_batch(tmp_path):
    path = frames_net(tmp_path / "net.onnx", [1000, 64], pooled=False)
    assert measure_onnx(path, input_shape=(1000, 64)).macs_deployed == 1000 * 64 * 8
    assert measure_onnx(path, input_shape=(1, 64)).macs_deployed == 64 * 8
    with pytest.raises(ConfigError, match="1000,64"):
        measure_onnx(path, input_shape=(7, 64))


def test_a_clip_shorter_than_a_window_is_no_negative_count(tmp_path):
    path = conv_net(["batch", 1, "mels", 16], tmp_path / "net.onnx")
    with pytest.raises(ModelFileError, match=r"shorter than a window.*--input-shape"):
        measure_onnx(path, input_shape=(1, 1, 1, 16))


NETWORKS = {
    "LSTM": (lambda nn, **options: nn.LSTM(6, 4, **options), 50 * STEP),
    "GRU": (lambda nn, **options: nn.GRU(6, 4, **options), 50 * STEP * 3 // 4),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_float_network_with_the_time_first_counts_whole(kind):
    nn = pytest.importorskip("torch").nn
    measure = pytest.importorskip("complexity").measure
    make, macs = NETWORKS[kind]
    report = measure(make(nn), (50, 1, 6))
    assert report.macs_deployed == macs
    assert "all 50 of it count as one clip" in report.deployed
    assert measure(make(nn, batch_first=True), (8, 50, 6)).macs_deployed == macs


def test_a_float_network_of_a_waveform_counts_whole():
    torch = pytest.importorskip("torch")
    measure = pytest.importorskip("complexity").measure

    class Waveform(torch.nn.Conv1d):
        def forward(self, x):
            return super().forward(x[None, None]).mean(2)

    assert measure(Waveform(1, 4, 64, stride=32), (16000,)).macs_deployed == 499 * 4 * 64
