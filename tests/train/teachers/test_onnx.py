"""The published teachers as ONNX files, for any batch size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from export.onnx_graph import to_onnx
from runtime.model.session import run_unoptimized
from tests.train.teachers.tiny import TINY
from train import networks

SHAPES = {
    "cp_resnet": (1, 256, 43),
    "ced": (1, 64, 101),
    "passt": (1, 128, 100),
    "ast": (1, 128, 228),
    "beats": (1, 128, 98),
    "mobilenet": (1, 128, 100),
    "narrow_resnet": (1, 256, 64),
}


@pytest.mark.parametrize(("name", "arguments"), [*((name, {}) for name in TINY), ("ced", {"merge_r": 4})])
def test_onnx_computes_what_torch_does(name, arguments):
    torch.manual_seed(0)
    network = networks.build(name, {**TINY[name], "n_classes": 3, **arguments}).eval()
    model = to_onnx(network, (1, *SHAPES[name]))
    x = torch.randn(3, *SHAPES[name])
    with torch.no_grad():
        expected = network(x).numpy()
    found = run_unoptimized(model.SerializeToString(), x.numpy())[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)
