"""EfficientAT's MobileNets: published counts and key layout; real weights where they lie at hand."""

from __future__ import annotations

import pytest
import torch

from train.networks import build
from train.teachers.mobilenet import MobileNet


def test_mn04_has_the_published_counts_and_keys():
    network = MobileNet(527, width=0.4)
    assert sum(p.numel() for p in network.parameters()) == 983_599
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes["features.0.0.weight"] == (8, 1, 3, 3)
    assert shapes["features.4.block.2.conc_se_layers.0.fc1.weight"] == (8, 32)
    assert shapes["features.13.block.2.conc_se_layers.0.fc2.weight"] == (272, 72)
    assert shapes["features.16.0.weight"] == (384, 64, 1, 1)
    assert shapes["classifier.2.weight"] == (512, 384) and shapes["classifier.5.weight"] == (527, 512)


@pytest.mark.parametrize("width", [0.1, 0.4, 1.0])
def test_any_number_of_frames_gives_logits(width):
    network = MobileNet(10, width=width).eval()
    with torch.no_grad():
        for frames in (100, 131):
            log_mel = torch.randn(2, 1, 128, frames)
            assert network(log_mel).shape == (2, 10)
            assert network.embed(log_mel).shape == (2, network.embedding_size)


def test_the_linear_head_standardizes_the_embedding():
    network = build("mobilenet", {"n_classes": 4, "width": 0.1, "head": "linear"}).train()
    with torch.no_grad():
        hidden = network.classifier[:3](network.features(torch.randn(16, 1, 128, 64)))
    torch.testing.assert_close(hidden.mean(0), torch.zeros(network.embedding_size), atol=1e-5, rtol=0)
