"""TF-SepNet and BC-ResNet in INT8: every feature map is integer, and the file computes what torch does."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from export.lint import lint
from export.onnx_graph import to_onnx
from runtime.model.session import run_optimized, run_unoptimized
from runtime.spec import FrontEndSpec
from train import networks
from train.checkpoints.model_pt import Checkpoint
from train.quantization.choose_ranges import choose_ranges
from train.quantization.verification_windows import split_windows


@pytest.mark.slow
@pytest.mark.parametrize("student", ["tf_sepnet", "bc_resnet"])
def test_ptq_leaves_only_statistics_in_float(student):
    spec = dataclasses.replace(FrontEndSpec.preset("cp_mel"), n_mels=64)
    arguments = {"base_channels": 8, "n_classes": 3}
    torch.manual_seed(0)
    network, windows = networks.build(student, arguments), torch.randn(9, 1, 64, 64)
    network(windows)  # statistics of batch norm
    checkpoint = Checkpoint(
        student, arguments, spec, ("a", "b", "c"), network.state_dict(), calibration=windows.half(),
        calibration_targets=torch.arange(9) % 3, calibration_ids=tuple(map(str, range(9))),
    )  # fmt: skip
    quantized = choose_ranges(*split_windows(checkpoint)).network
    model = to_onnx(quantized, checkpoint.input_shape)
    assert lint(model, (-64, 63)) == []
    with torch.no_grad():
        expected = quantized(windows).numpy()
    data = model.SerializeToString()
    np.testing.assert_array_equal(run_unoptimized(data, windows.numpy())[0], expected)
    step = np.diff(np.unique(expected)).min()
    assert np.abs(run_optimized(data, windows.numpy())[0] - expected).max() <= 2 * step + 1e-6
