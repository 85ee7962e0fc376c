"""The choice of ranges by unseen windows, and the quality that is measured on them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from runtime.errors import ModelFileError
from tests.train.quantization.conftest import Windows
from train.checkpoints.model_pt import Checkpoint
from train.quantization.choose_ranges import Int8Model, choose_ranges, quality
from train.quantization.label_agreement import hostile_report, same_labels
from train.quantization.observers import OBSERVERS
from train.quantization.quality import Share, verification_set


@pytest.fixture(scope="module")
def verified(checkpoint: Checkpoint, windows: Windows) -> Checkpoint:
    x, targets = windows(60, 9000)
    hot = torch.nn.functional.one_hot(targets, 3).to(torch.uint8)
    return replace(checkpoint, verification=x.half(), verification_targets=hot)


@pytest.fixture(scope="module")
def result(verified: Checkpoint) -> Int8Model:
    return choose_ranges(verified)


def test_the_least_error_of_the_logits_decides(result: Int8Model) -> None:
    assert [candidate.observer for candidate in result.candidates] == list(OBSERVERS)
    best = max(result.candidates, key=lambda candidate: candidate.sqnr_db)
    assert result.how["observer"] == best.observer
    assert all(candidate.agreement.total == 60 for candidate in result.candidates)
    assert all(candidate.accuracy_change is not None for candidate in result.candidates)


def test_quality_counts_labels_on_verification_windows(result: Int8Model, verified: Checkpoint) -> None:
    measured = quality(result, verified)
    assert measured.source == "60 verification windows"
    chosen = next(c for c in result.candidates if c.observer == result.how["observer"])
    assert measured.agreement == chosen.agreement and measured.sqnr_db == pytest.approx(chosen.sqnr_db)
    assert measured.accuracy_float is not None and measured.accuracy_float.value > 0.9
    assert measured.accuracy_int8 is not None
    assert measured.loss == max(0.0, measured.accuracy_float.value - measured.accuracy_int8.value) < 0.05


def test_without_labels_the_loss_is_that_of_labels_that_flip(result: Int8Model, verified: Checkpoint) -> None:
    measured = quality(result, replace(verified, verification_targets=torch.empty(0)))
    assert measured.accuracy_int8 is None
    assert measured.loss == pytest.approx(1 - measured.agreement.value)


def test_an_older_file_is_verified_on_windows_held_out_from_calibration(checkpoint: Checkpoint) -> None:
    split = verification_set(checkpoint)
    assert len(split.windows) + len(split.calibration) == len(checkpoint.calibration)
    calibrated = {window.numpy().tobytes() for window in split.calibration}
    assert not calibrated & {window.numpy().tobytes() for window in split.windows}
    assert split.targets is not None and (split.targets.sum(0) > 0).all()  # every class is verified


def test_a_model_without_windows_is_refused_by_what_to_do(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelFileError, match="--quantize none"):
        choose_ranges(replace(checkpoint, calibration=torch.empty(0)))


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


def test_labels_of_several_are_compared_one_by_one(checkpoint: Checkpoint) -> None:
    expected, actual = torch.tensor([[2.0, -1.0, 3.0]]), torch.tensor([[1.0, 1.0, 4.0]])
    assert same_labels(expected, actual, checkpoint).tolist() == [[True]]
    both = replace(checkpoint, task="multi_label")
    assert same_labels(expected, actual, both).tolist() == [[True, False, True]]


def test_hostile_signals_are_named_where_a_confident_label_flips(checkpoint: Checkpoint) -> None:
    """Signals in the order of hostile_signals.py; the first, silence, gets no label in the runtime."""
    sure, unsure = torch.tensor([9.0, 0.0, 0.0]), torch.tensor([0.1, 0.0, 0.0])
    expected = torch.stack([sure, sure, unsure, *[sure] * 6])
    actual = torch.stack([sure.flip(0), unsure.flip(0), sure.flip(0), *[sure] * 6])
    report = hostile_report(expected, actual, checkpoint)
    assert (report.gained, report.lost) == (("sweep",), ("hum",))
