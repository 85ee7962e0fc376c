"""Accuracy on quieter sound: its log-mels follow from those of the windows, and the summary shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from export.pipeline import export_model
from export.verification.levels import quieter
from runtime.model.session import Session
from runtime.spec import PRESETS, FrontEndSpec
from train.checkpoints.model_pt import Checkpoint
from train.log_mel import LogMel

FRAMEWISE = [name for name in PRESETS if FrontEndSpec.preset(name).framewise]


@pytest.mark.parametrize("name", FRAMEWISE)
def test_log_mels_of_quieter_sound_follow_from_those_of_the_sound(name: str) -> None:
    spec = FrontEndSpec.preset(name)
    log_mel = LogMel(spec)
    waveform = 0.3 * torch.randn(2, spec.sample_rate, generator=torch.Generator().manual_seed(0))
    expected = log_mel(waveform * 10 ** (-20 / 20))
    torch.testing.assert_close(quieter(log_mel(waveform), -20, spec), expected, atol=2e-3, rtol=1e-3)


def test_summary_and_metadata_state_the_accuracy_on_quieter_sound(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    exported = export_model(checkpoint, path, method="none", tolerance=1)
    text = exported.verification.summary()
    assert "20 dB quieter" in text and "30 dB quieter" in text
    quality = Session(path).spec.provenance["quality"]
    assert [found["level_db"] for found in quality["quiet"]] == [-20, -30]
    assert all(0 <= found["value"] <= 1 for found in quality["quiet"])


def test_a_model_that_depends_on_the_level_is_named_with_the_remedy(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """The network is right on its own windows by construction, and answers otherwise on quieter ones."""
    network = checkpoint.build()
    log_mels = checkpoint.calibration.float()
    with torch.no_grad():
        own = network(log_mels).argmax(1)
        lost = [
            (network(quieter(log_mels, db, checkpoint.frontend)).argmax(1) != own).float().mean()
            for db in (-20, -30)
        ]
    model = replace(checkpoint, calibration_targets=own)
    text = export_model(model, tmp_path / "model.onnx", method="none", tolerance=1).verification.summary()
    assert ("augmentation.capture" in text) == (np.max(lost) > 0.1)
