"""What verify says of labels: INT8 must not be sure of another one than the float network gives."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from export.verification import _labels
from train.checkpoints.model_pt import Checkpoint
from train.quantization.hostile_signals import hostile_waveforms

SIGNALS = list(hostile_waveforms(8000, 8000))
REAL = np.tile(np.float32([[5.0, -4.0] + [-6.0] * 8]), (50, 1))


def _row(first: float, second: float) -> np.ndarray:
    return np.float32([[first, second] + [-6.0] * 8])


def _after_signals(row: np.ndarray) -> np.ndarray:
    return np.concatenate([np.tile(row, (len(SIGNALS), 1)), REAL])


@pytest.mark.parametrize(
    ("task", "wanted", "got", "wrong", "lost"),
    [
        ("single_label", (1.0, 0.0), (0.0, 1.0), False, False),  # 73 %: nobody is sure
        ("single_label", (4.0, 0.0), (0.0, 1.0), False, True),
        ("single_label", (1.0, 0.0), (0.0, 4.0), True, False),
        ("single_label", (4.0, 0.0), (0.0, 4.0), True, False),
        ("single_label", (4.0, 0.0), (1.0, 0.9), False, False),
        ("multi_label", (4.0, 1.0), (4.0, -1.0), False, False),
        ("multi_label", (4.0, 3.0), (4.0, -0.1), False, True),  # the second label, not the likeliest
        ("multi_label", (4.0, -3.0), (4.0, 0.1), False, True),  # one that is surely not there
        ("multi_label", (4.0, 0.1), (4.0, -3.0), True, False),
    ],
)
def test_int8_must_not_be_sure_of_another_label(checkpoint: Checkpoint, task, wanted, got, wrong, lost):
    model = dataclasses.replace(checkpoint, task=task, temperature=1.0)
    surely, share = _labels(_after_signals(_row(*got)), _after_signals(_row(*wanted)), len(SIGNALS), model)
    assert surely.passed is not wrong and ("hum" in surely.note) is (wrong or lost)
    assert ("no longer sure" in surely.note) is lost
    assert share.passed and share.measured == 1


@pytest.mark.parametrize(("task", "expected"), [("single_label", 0.9), ("multi_label", 0.98)])
def test_real_windows_have_to_agree(checkpoint: Checkpoint, task, expected):
    model = dataclasses.replace(checkpoint, task=task)
    got = REAL.copy()
    got[:5, :2] *= -1  # two of ten choices in five of fifty windows
    signals = np.tile(REAL[:1], (len(SIGNALS), 1))
    wanted = np.concatenate([signals, REAL])
    _, share = _labels(np.concatenate([signals, got]), wanted, len(SIGNALS), model)
    assert share.measured == pytest.approx(expected) and share.passed is (expected >= 0.97)


def test_no_label_is_asked_for_where_the_runtime_hears_no_signal(checkpoint: Checkpoint) -> None:
    wanted = np.tile(np.array([[9.0, 0, 0]], np.float32), (len(SIGNALS), 1))
    for name, passed in (("silence", True), ("offset", True), ("faint noise", True), ("noise", False)):
        got = wanted.copy()
        got[SIGNALS.index(name)] = [0, 9, 0]
        assert (_labels(got, wanted, len(SIGNALS), checkpoint)[0].measured == 0) is passed
