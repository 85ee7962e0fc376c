"""Quality of a file against its float reference: shares, intervals, and what a tolerance accepts."""

from __future__ import annotations

import pytest
import torch

from train.quantization.quality import Quality, Share, measure_quality
from train.quantization.verification_windows import VerificationWindows


def logits_of(labels: list[int]) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels), 3).float()


def measure(file: list[int], reference: list[int], targets: list[int] | None) -> Quality:
    labels = None if targets is None else logits_of(targets).bool()
    windows = VerificationWindows(torch.zeros(len(file), 1, 4, 4), labels, "a test")
    quality = measure_quality(logits_of(file), logits_of(reference), windows, "single_label")
    assert quality is not None
    return quality


def test_loss_is_of_accuracy_where_there_are_labels() -> None:
    quality = measure([0, 1, 1, 2], [0, 1, 2, 2], [0, 1, 2, 0])
    assert quality.agreement == Share(3, 4)
    assert quality.accuracy_float == Share(3, 4) and quality.accuracy == Share(2, 4)
    assert quality.loss == 0.25 and quality.within(0.25) and not quality.within(0.24)
    low, high = quality.loss_interval
    assert low < 0.25 < high


def test_a_flip_to_the_right_label_is_no_loss() -> None:
    assert measure([0, 1], [0, 2], [0, 1]).loss == -0.5
    assert measure([0, 1], [0, 2], [0, 1]).least_tolerance == 0


def test_loss_is_of_labels_where_there_are_none() -> None:
    quality = measure([0, 1, 1, 2], [0, 1, 2, 2], None)
    assert quality.accuracy is None and quality.loss == 0.25


@pytest.mark.parametrize("lost", [1, 2, 7, 99, 300])
def test_the_least_tolerance_accepts(lost: int) -> None:
    quality = measure([1] * lost + [0] * (300 - lost), [0] * 300, [0] * 300)
    assert quality.within(quality.least_tolerance) and quality.within(1)
    assert not quality.within(quality.least_tolerance - 2e-4)
    assert f"{100 * quality.loss:.2f} points" in str(quality)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
    ],  # the last: Newcombe 1998, table I
)
def test_intervals_are_wilsons(count: int, total: int, low: float, high: float) -> None:
    assert Share(count, total).interval == pytest.approx((low, high), abs=1e-4)


def test_no_change_seen_is_not_certainty() -> None:
    low, high = measure([0] * 200, [0] * 200, [0] * 200).loss_interval
    assert -0.02 < low < 0 < high < 0.02


def test_several_labels_count_each() -> None:
    reference = torch.tensor([[3.0, -3.0, 3.0], [3.0, -3.0, -3.0]])
    file = torch.tensor([[3.0, -3.0, -1.0], [3.0, -3.0, -3.0]])
    windows = VerificationWindows(torch.zeros(2, 1, 4, 4), reference > 0, "a test")
    quality = measure_quality(file, reference, windows, "multi_label")
    assert quality is not None and quality.agreement == Share(5, 6) and quality.loss == pytest.approx(1 / 6)


def test_no_windows_no_quality() -> None:
    none = VerificationWindows(torch.zeros(0, 1, 4, 4), None, "a test")
    assert measure_quality(torch.zeros(0, 3), torch.zeros(0, 3), none, "single_label") is None
