"""Concatenation, channel shuffle, split and maximum: integer in ONNX Runtime, and exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from export.lint import lint
from export.onnx_graph import to_onnx
from export.pipeline import export_model
from runtime.model.session import run_optimized, run_unoptimized
from tests.small_students import ShuffleNet, train_shuffle_net
from train.checkpoints.model_pt import Checkpoint
from train.networks import NETWORKS
from train.quantization.choose_ranges import choose_ranges
from train.quantization.verification_windows import split_windows


@pytest.fixture
def shuffle_net(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    monkeypatch.setitem(NETWORKS, "shuffle_net", ShuffleNet)
    return train_shuffle_net(checkpoint)


def _kernels(model: onnx.ModelProto, folder: Path) -> list[str]:
    """The operators of a graph after ONNX Runtime's optimizations."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node]


def test_ptq_keeps_them_integer_and_exact(shuffle_net: Checkpoint, tmp_path: Path) -> None:
    quantized = choose_ranges(*split_windows(shuffle_net))
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
