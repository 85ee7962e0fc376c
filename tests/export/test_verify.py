"""What verify says of labels: a change is forgiven only where the float network was not sure."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from export.verify import _labels
from train.checkpoint import Checkpoint

REAL = np.tile(np.float32([[5.0, -4.0] + [-6.0] * 8]), (50, 1))


def _row(first: float, second: float) -> np.ndarray:
    return np.float32([[first, second] + [-6.0] * 8])


@pytest.mark.parametrize(
    ("task", "wanted", "got", "flipped"),
    [
        ("single_label", (1.0, 0.0), (0.0, 1.0), False),  # 73 %: not sure
        ("single_label", (4.0, 0.0), (0.0, 4.0), True),
        ("single_label", (4.0, 0.0), (1.0, 0.9), False),
        ("multi_label", (4.0, 1.0), (4.0, -1.0), False),
        ("multi_label", (4.0, 3.0), (4.0, -0.1), True),  # the second label, not the likeliest
        ("multi_label", (4.0, -3.0), (4.0, 0.1), True),  # one that is surely not there
    ],
)
def test_a_label_may_change_only_where_float_is_not_sure(checkpoint: Checkpoint, task, wanted, got, flipped):
    model = dataclasses.replace(checkpoint, task=task, temperature=1.0)
    changed, share = _labels(
        np.concatenate([_row(*got), REAL]), np.concatenate([_row(*wanted), REAL]), ["hum"], model
    )
    assert changed.passed is not flipped and ("hum" in changed.note) is flipped
    assert share.passed and share.measured == 1


@pytest.mark.parametrize(("task", "expected"), [("single_label", 0.9), ("multi_label", 0.98)])
def test_real_windows_have_to_agree(checkpoint: Checkpoint, task, expected):
    model = dataclasses.replace(checkpoint, task=task)
    got = REAL.copy()
    got[:5, :2] *= -1  # two of ten choices in five of fifty windows
    _, share = _labels(np.concatenate([REAL[:1], got]), np.concatenate([REAL[:1], REAL]), ["hum"], model)
    assert share.measured == pytest.approx(expected) and share.passed is (expected >= 0.97)


def test_no_label_is_asked_for_where_the_runtime_hears_no_signal(checkpoint: Checkpoint) -> None:
    sure, other = np.array([[9.0, 0, 0]], np.float32), np.array([[0, 9.0, 0]], np.float32)
    for name, passed in (("silence", True), ("offset", True), ("faint noise", True), ("noise", False)):
        assert _labels(other, sure, [name], checkpoint)[0].passed is passed
