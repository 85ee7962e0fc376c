"""CNN3: published size and keys, its function, its front end, and INT8 from training to a stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import complexity
from export.pipeline import export_model
from runtime import load_model
from runtime.audio.mel_filter_bank import analysis_window, mel_filter_bank
from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec
from train import networks
from train.checkpoints.model_pt import Checkpoint
from train.checkpoints.published import import_weights
from train.log_mel import LogMel
from train.quantization.qat.network import QatNetwork
from train.quantization.quantizer import PORTABLE

SPEC = FrontEndSpec.preset("cnn3_mel")


def _network(**arguments) -> torch.nn.Module:
    torch.manual_seed(0)
    network = networks.build("cnn3", arguments)
    network.train()(torch.randn(4, 1, 40, 51))  # statistics of batch norm
    return network.eval()


def test_counts_are_those_of_the_baseline():
    report = complexity.measure(networks.build("cnn3", {}).eval(), (1, 1, 40, 51))
    assert (report.params, report.macs) == (46_118, 29_271_638)


def test_keys_are_those_of_easy_dcase_and_its_files_load(tmp_path):
    network = _network()
    state = network.state_dict()
    expected = {
        "conv1._conv.weight": [16, 1, 7, 7], "conv1._conv.bias": [16], "conv1._bn.running_var": [16],
        "conv2._conv.weight": [16, 16, 7, 7], "conv3._conv.weight": [32, 16, 7, 7], "conv3._bn.weight": [32],
        "linear1.weight": [100, 64], "linear2.weight": [10, 100], "linear2.bias": [10],
    }  # fmt: skip
    assert {key: list(state[key].shape) for key in expected} == expected and len(state) == 3 * 7 + 4
    torch.save({"state_dict": {f"backbone.{k}": v for k, v in state.items()}}, tmp_path / "last.ckpt")
    labels = tuple("abcdefghij")
    ((_, model),) = import_weights(tmp_path / "last.ckpt", tmp_path / "model.pt", labels)
    assert (model.student, model.frontend, model.input_shape) == ("cnn3", SPEC, (1, 1, 40, 51))
    x = torch.randn(model.input_shape)
    with torch.no_grad():
        assert torch.equal(model.build()(x), network(x))


@torch.no_grad()
def test_it_is_the_function_of_the_baseline():
    network = _network(n_classes=3)
    state, x = network.state_dict(), torch.randn(2, 1, 40, 51)

    def layer(x, name):
        x = F.conv2d(x, state[f"{name}._conv.weight"], state[f"{name}._conv.bias"], padding=3)
        mean, variance, weight, bias = (
            state[f"{name}._bn.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (variance + 1e-5).sqrt() * weight + bias).relu()

    y = F.max_pool2d(layer(layer(x, "conv1"), "conv2"), (5, 5))
    y = F.max_pool2d(layer(y, "conv3"), (4, 10))
    assert y.shape == (2, 32, 2, 1)
    y = (y.flatten(1) @ state["linear1.weight"].T + state["linear1.bias"]).relu()
    expected = y @ state["linear2.weight"].T + state["linear2.bias"]
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


def test_the_second_pooling_fits_the_length_of_the_clip():
    of_2021 = torch.randn(1, 1, 40, 501)  # ten seconds
    assert _network(n_classes=3)(of_2021).shape == (1, 3)


def test_the_front_end_is_that_of_dcase_util():
    """Periodic Hamming window of 40 ms, magnitudes, Slaney's mels of unit area, log(x + 2^-52)."""
    wave = 0.1 * np.random.default_rng(0).standard_normal(44_100)
    padded = np.pad(wave, 1024, mode="reflect")
    window = np.zeros(2048)
    window[142:1906] = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(1764) / 1764)
    frames = np.stack([padded[start : start + 2048] for start in range(0, 44_101, 882)])
    magnitudes = np.abs(np.fft.rfft(frames * window)).T
    expected = np.log(mel_filter_bank(SPEC) @ magnitudes + np.spacing(1))
    np.testing.assert_allclose(analysis_window(SPEC).max(), 1.0, atol=1e-3)
    found = LogMel(SPEC)(torch.from_numpy(wave.astype(np.float32))[None])[0, 0].numpy()
    assert found.shape == (40, 51)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_ptq_is_integer_throughout_and_streams(tmp_path):
    network = _network(n_classes=3, base_channels=8)
    windows, targets = torch.randn(12, 1, 40, 51), torch.arange(12) % 3
    checkpoint = Checkpoint(
        "cnn3", {"n_classes": 3, "base_channels": 8}, SPEC, ("a", "b", "c"), network.state_dict(),
        calibration=windows.half(), calibration_targets=targets, calibration_ids=tuple(map(str, range(12))),
    )  # fmt: skip
    exported = export_model(checkpoint, tmp_path / "model.onnx", method="ptq", tolerance=1.0)
    assert exported.verification.correct, exported.verification.summary()
    assert exported.quantization["keep_float"] == []
    model = load_model(tmp_path / "model.onnx")
    audio = (0.1 * np.random.default_rng(0).standard_normal(3 * 44_100)).astype(np.float32)
    stream = model.stream(hop_s=1.0)
    predictions = [*stream.push(audio), *stream.flush()]
    assert len(predictions) == 3
    assert predictions[0].scores == model.classify(audio[:44_100], 44_100).scores


def test_a_step_of_qat_is_exported_as_trained(tmp_path):
    network = _network(n_classes=3, base_channels=8)
    windows, targets = torch.randn(12, 1, 40, 51), torch.arange(12) % 3
    qat = QatNetwork(network, (1, 1, 40, 51), PORTABLE)
    qat.observe(windows)
    optimizer = torch.optim.SGD(qat.parameters(), 1e-3)
    F.cross_entropy(qat(windows), targets).backward()
    optimizer.step()
    checkpoint = Checkpoint(
        "cnn3", {"n_classes": 3, "base_channels": 8}, SPEC, ("a", "b", "c"),
        {**network.state_dict(), **qat.rounded_weights()}, quantization=qat.learned(),
    )  # fmt: skip
    exported = export_model(checkpoint, tmp_path / "model.onnx", method="qat", tolerance=1.0)
    assert exported.verification.correct, exported.verification.summary()
    assert exported.quantization["method"] == "qat"


def test_sizes_that_cannot_be_built_are_named():
    with pytest.raises(ConfigError, match="kernel_size, not 16 and 4"):
        networks.build("cnn3", {"kernel_size": 4})
