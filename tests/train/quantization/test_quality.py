"""Quality of a file against its float reference: shares, intervals, and what a tolerance accepts."""

from __future__ import annotations

import pytest
import torch

from train.quantization.quality import Quality, Share, effective_count, measure_quality, share_of
from train.quantization.verification_windows import VerificationWindows


def logits_of(labels: list[int]) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels), 3).float()


def measure(
    file: list[int], reference: list[int], targets: list[int] | None, clips: tuple[str, ...] = ()
) -> Quality:
    labels = None if targets is None else logits_of(targets).bool()
    windows = VerificationWindows(torch.zeros(len(file), 1, 4, 4), labels, "a test", clips)
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


def test_windows_of_a_clip_count_once_where_they_agree() -> None:
    """Four windows a clip that are all right or all wrong show no more than one of them."""
    clips = [f"{index // 4}" for index in range(400)]
    right = torch.tensor([index // 4 % 5 > 0 for index in range(400)])[:, None]
    low, high = share_of(right, clips).interval
    of_clips = share_of(right[::4], clips[::4]).interval
    assert (low, high) == pytest.approx(of_clips, abs=1e-3) and high - low > 0.15
    assert share_of(right, ()).interval == Share(320, 400).interval


def test_windows_count_one_by_one_where_clips_explain_nothing() -> None:
    right = torch.rand(400, 1, generator=torch.Generator().manual_seed(0)) > 0.2
    clips = [str(index // 4) for index in range(400)]
    assert effective_count(right, clips) == pytest.approx(400, rel=0.3)


def test_equal_decisions_of_a_clip_are_one_decision() -> None:
    assert effective_count(torch.ones(12, 2), ["a"] * 4 + ["b"] * 4 + ["c"] * 4) == pytest.approx(3)
    assert effective_count(torch.eye(4), ["a"] * 4) == 1  # a single clip shows nothing about others


def test_intervals_of_few_clips_are_wider_than_those_of_many() -> None:
    values = torch.tensor([0, 1] * 20)[:, None]
    few, many = (effective_count(values, [index // size for index in range(40)]) for size in (20, 1))
    assert few is not None and many is not None and few < 3 < 35 < many <= 40


def test_the_loss_has_an_interval_over_clips_where_they_are_known() -> None:
    file, right = [0, 0, 0, 0, 1, 1, 1, 1] + [0] * 92, [0] * 100
    clips = tuple(str(index // 4) for index in range(100))
    known, unknown = measure(file, right, right, clips), measure(file, right, right)
    assert known.loss == unknown.loss == 0.04
    assert known.loss_interval[1] > unknown.loss_interval[1] + 0.03
    assert "over 25 clips" in str(known) and "as if windows were independent" in str(unknown)
    assert (known.to_json()["clips"], unknown.to_json()["clips"]) == (25, 0)
