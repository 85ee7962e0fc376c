"""Concatenation, channel shuffle, split and maximum: integer in PTQ and QAT, and in ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from export.lint import lint
from export.onnx_graph import to_onnx
from export.pipeline import export_model
from runtime.errors import ModelFileError
from runtime.model.session import run_optimized, run_unoptimized
from train.checkpoints.model_pt import Checkpoint
from train.quantization.choose_ranges import quantize, quantize_as_trained
from train.quantization.fake_quantize import FakeQuantized
from train.quantization.ptq import calibrate
from train.quantization.quantizer import PORTABLE
from train.quantization.sensitivity import sqnr_db


class ShuffleNet(nn.Module):
    """Two branches over halves of shuffled channels (ShuffleNet V2, Ma et al., ECCV 2018), and a shortcut."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(1, 16, (3, 3)), nn.MaxPool2d(2))
        self.along_mels = _conv(8, 8, (3, 1), groups=8)
        self.along_frames = _conv(8, 8, (1, 3), groups=8)
        self.head = nn.Sequential(nn.Conv2d(16, n_classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, log_mel: Tensor) -> Tensor:
        x = self.stem(log_mel)
        batch, channels, mels, frames = x.shape
        x = x.reshape(batch, 2, channels // 2, mels, frames).transpose(1, 2).reshape(x.shape)
        left, right = x.chunk(2, dim=1)
        return self.head(torch.cat([self.along_mels(left), self.along_frames(right)], dim=1) + x)


def _conv(inputs: int, outputs: int, kernel: tuple[int, int], groups: int = 1) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2)
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


@pytest.fixture
def shuffle_net(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    monkeypatch.setattr("train.networks.build", lambda student, arguments: ShuffleNet(**arguments))
    torch.manual_seed(0)
    network, x = ShuffleNet(3), checkpoint.calibration.float()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), checkpoint.calibration_targets).backward()
        optimizer.step()
    return replace(
        checkpoint, student="shuffle_net", arguments={"n_classes": 3}, state_dict=network.state_dict()
    )


def _kernels(model: onnx.ModelProto, folder: Path) -> list[str]:
    """What ONNX Runtime makes of a graph."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node]


def test_ptq_keeps_them_integer_and_exact(shuffle_net: Checkpoint, tmp_path: Path) -> None:
    quantized = quantize(shuffle_net)
    model = to_onnx(quantized.network, shuffle_net.input_shape)
    assert lint(model, (-64, 63)) == []
    kernels = _kernels(model, tmp_path)
    assert kernels.count("QuantizeLinear") == kernels.count("DequantizeLinear") == 1
    assert {"QLinearConcat", "QLinearAdd", "QLinearGlobalAveragePool"} <= set(kernels)
    assert kernels.count("QLinearConv") == 4
    x = shuffle_net.calibration.float()
    with torch.no_grad():
        expected = quantized.network(x).numpy()
    for run in (run_unoptimized, run_optimized):
        np.testing.assert_array_equal(run(model.SerializeToString(), x.numpy())[0], expected)


def test_file_is_verified(shuffle_net: Checkpoint, tmp_path: Path) -> None:
    exported = export_model(shuffle_net, tmp_path / "model.onnx", method="ptq")
    assert exported.verification.passed, exported.verification
    assert "stem.0.0" in {row.name for row in exported.verification.noise}


def test_ranges_of_another_release_are_one_sentence(shuffle_net: Checkpoint) -> None:
    learned = {
        "method": "qat",
        "weight_range": [-64, 63],
        "keep_float": [],
        "ranges": {"log_mel": [0.0, 1.0]},
    }
    with pytest.raises(ModelFileError, match="another release"):
        quantize_as_trained(replace(shuffle_net, quantization=learned))


def test_qat_trains_what_is_exported(shuffle_net: Checkpoint) -> None:
    student, x = shuffle_net.build(), shuffle_net.calibration.float()
    fake = FakeQuantized(student, shuffle_net.input_shape, PORTABLE)
    fake.begin_with(x)
    fake.train()
    nn.functional.cross_entropy(fake(x), shuffle_net.calibration_targets).backward()
    assert all(parameter.grad is not None for parameter in student.parameters())
    fake.freeze(calibrate(student, x))
    fake.eval()
    weights = {**student.state_dict(), **fake.rounded_weights()}
    trained = replace(shuffle_net, state_dict=weights, quantization=fake.learned())
    int8_model = quantize_as_trained(trained).network
    assert lint(to_onnx(int8_model, shuffle_net.input_shape), (-64, 63)) == []
    with torch.no_grad():
        assert sqnr_db(fake(x), int8_model(x)) > 30


def test_qat_begins_where_ptq_ends_and_keeps_to_its_grid(shuffle_net: Checkpoint) -> None:
    student, x = shuffle_net.build(), shuffle_net.calibration.float()
    fake = FakeQuantized(student, shuffle_net.input_shape, PORTABLE)
    fake.begin_with(x)
    network = shuffle_net.build()
    calibration = calibrate(network, x)
    fake.freeze(calibration)
    fake.train()
    with torch.no_grad():
        after_training = calibration.twin(network, "percentile", PORTABLE)(x)
        assert sqnr_db(after_training, fake(x)) > 30  # biases are integers in one and not in the other
    optimizer = torch.optim.Adam((p for p in student.parameters() if p.requires_grad), 1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(fake(x), shuffle_net.calibration_targets).backward()
        optimizer.step()
    weights = {**student.state_dict(), **fake.rounded_weights()}
    trained = replace(shuffle_net, state_dict=weights, quantization=fake.learned())
    int8_model = quantize_as_trained(trained).network
    with torch.no_grad():
        assert sqnr_db(fake(x), after_training) < sqnr_db(fake(x), int8_model(x)) > 30
    # a weight that lies on the grid already is not rounded again
    again = FakeQuantized(trained.build(), shuffle_net.input_shape, PORTABLE)
    again.graph(x)
    scales = fake.learned()["scales"]
    for _, layer, _ in again._weights:
        integers = layer.folded / torch.tensor(scales[layer.name]).reshape(-1, *[1] * (layer.folded.ndim - 1))
        torch.testing.assert_close(integers, integers.round(), rtol=0, atol=1e-3)


def test_a_saved_state_says_whether_all_stands_still(shuffle_net: Checkpoint) -> None:
    """A run that goes on after its last epoch, or whose best one lies before the freeze, trains no more."""
    student, x = shuffle_net.build(), shuffle_net.calibration.float()
    fake = FakeQuantized(student, shuffle_net.input_shape, PORTABLE)
    fake.begin_with(x)
    before = {name: tensor.clone() for name, tensor in fake.state_dict().items()}
    fake.freeze(calibrate(shuffle_net.build(), x))
    frozen = {name: tensor.clone() for name, tensor in fake.state_dict().items()}
    learned, rounded = fake.learned(), fake.rounded_weights()
    fake.load_state_dict(before)
    assert not fake.frozen and not fake.rounded_weights() and "scales" not in fake.learned()
    assert fake(x).isfinite().all()
    other = FakeQuantized(shuffle_net.build(), shuffle_net.input_shape, PORTABLE)
    other.load_state_dict(frozen)
    assert other.frozen and other.learned() == learned
    for name, weight in other.rounded_weights().items():
        torch.testing.assert_close(weight, rounded[name], rtol=0, atol=0)
