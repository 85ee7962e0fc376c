"""The teachers: sizes, shapes, and that everything which names a student can name them."""

from __future__ import annotations

import pytest
import torch

import complexity
from runtime.spec import PRESETS
from train import networks


def test_narrow_resnet_has_the_size_that_it_says():
    report = complexity.measure(networks.build("narrow_resnet", {}).eval(), (1, 1, 256, 64))
    assert (report.params, report.macs) == (515_252, 124_029_076)


@pytest.mark.parametrize("frontend", PRESETS)
def test_the_narrow_one_takes_every_front_end(frontend):
    spec = PRESETS[frontend]
    log_mel = torch.randn(2, 1, spec.n_mels, spec.frames(spec.sample_rate))
    assert networks.build("narrow_resnet", {"n_classes": 3, "base_channels": 8})(log_mel).shape == (2, 3)
