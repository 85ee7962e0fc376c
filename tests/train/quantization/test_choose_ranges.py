"""The choice of ranges by windows that nothing is calibrated on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from runtime.errors import ModelFileError
from tests.train.quantization.conftest import Windows
from train.checkpoints.model_pt import Checkpoint
from train.quantization.choose_ranges import Int8Model, choose_ranges
from train.quantization.hostile_report import hostile_report
from train.quantization.observers import OBSERVERS
from train.quantization.quality import Share, logits_of
from train.quantization.sensitivity import sqnr_db
from train.quantization.verification_windows import VerificationWindows, split_windows


@pytest.fixture(scope="module")
def verified(checkpoint: Checkpoint, windows: Windows) -> Checkpoint:
    x, targets = windows(60, 9000)
    hot = torch.nn.functional.one_hot(targets, 3).to(torch.uint8)
    return replace(checkpoint, verification=x.half(), verification_targets=hot)


@pytest.fixture(scope="module")
def result(verified: Checkpoint) -> Int8Model:
    return choose_ranges(*split_windows(verified))


def test_the_least_error_of_the_logits_decides(result: Int8Model) -> None:
    assert [candidate.observer for candidate in result.candidates] == list(OBSERVERS)
    best = max(result.candidates, key=lambda candidate: candidate.sqnr_db)
    assert result.how["observer"] == best.observer


def test_candidates_are_measured_on_verification_windows(result: Int8Model, verified: Checkpoint) -> None:
    x = verified.verification.float()
    expected, actual = logits_of(verified.build(), x), logits_of(result.network, x)
    chosen = next(c for c in result.candidates if c.observer == result.how["observer"])
    assert chosen.sqnr_db == pytest.approx(sqnr_db(expected, actual))
    assert chosen.quality.agreement == Share(int((expected.argmax(1) == actual.argmax(1)).sum()), 60)
    assert chosen.quality.accuracy_float is not None and chosen.quality.accuracy_float.value > 0.9
    assert chosen.quality.loss < 0.05


def test_other_windows_can_decide(verified: Checkpoint, windows: Windows) -> None:
    other = VerificationWindows(windows(20, 9500)[0], None, "other windows")
    for candidate in choose_ranges(verified, other).candidates:
        assert (candidate.quality.windows, candidate.quality.source) == (20, "other windows")
        assert candidate.quality.accuracy is None


def test_an_older_file_is_verified_on_windows_held_out_from_calibration(checkpoint: Checkpoint) -> None:
    rest, held_out = split_windows(checkpoint)
    assert len(held_out) + len(rest.calibration) == len(checkpoint.calibration)
    assert len(rest.calibration_ids) == len(rest.calibration_targets) == len(rest.calibration)
    calibrated = {window.numpy().tobytes() for window in rest.calibration.float()}
    assert not calibrated & {window.numpy().tobytes() for window in held_out.log_mels}
    assert held_out.targets is not None and held_out.targets.any(0).all()  # every class is verified


def test_windows_of_a_clip_are_all_on_one_side(checkpoint: Checkpoint) -> None:
    ids = tuple(f"{index // 3}.wav@{index % 3}" for index in range(len(checkpoint.calibration)))
    rest, held_out = split_windows(replace(checkpoint, calibration_ids=ids))
    assert len(held_out) == len(rest.calibration) == len(ids) / 2
    assert set(held_out.clips) == {f"{clip}.wav" for clip in range(1, 16, 2)}
    assert {identifier.partition("@")[0] for identifier in rest.calibration_ids} == {
        f"{clip}.wav" for clip in range(0, 16, 2)
    }


def test_verification_windows_know_their_clips_where_the_model_does(verified: Checkpoint) -> None:
    ids = tuple(f"{index // 3}.wav@{index % 3}" for index in range(60))
    assert split_windows(verified)[1].clips == ()
    _, windows = split_windows(replace(verified, verification_ids=ids))
    assert windows.clips == tuple(f"{index // 3}.wav" for index in range(60))


def test_no_clip_chooses_an_observer_and_measures_it(verified: Checkpoint) -> None:
    ids = tuple(f"{index % 20}.wav@{index // 20}" for index in range(60))
    _, windows = split_windows(replace(verified, verification_ids=ids))
    choosing, measured = windows.divide()
    assert not set(choosing.clips) & set(measured.clips)
    assert (len(choosing), len(choosing.clips), len(measured), len(measured.clips)) == (15, 15, 45, 45)
    assert choosing.targets is not None and measured.targets is not None
    assert torch.equal(
        torch.cat([choosing.log_mels, measured.log_mels]).sort(0)[0], windows.log_mels.sort(0)[0]
    )
    assert (len(choosing.targets), len(measured.targets)) == (15, 45)
    assert "apart from those that chose the observer" in measured.source


def test_every_class_chooses_and_is_measured(windows: Windows) -> None:
    log_mels, _ = windows(16, 9500)
    targets = torch.nn.functional.one_hot(torch.arange(16) % 4, 4).bool()  # the classes in turns
    for part in VerificationWindows(log_mels, targets, "a test").divide():
        assert part.targets is not None and part.targets.any(0).all()


def test_a_single_clip_chooses_and_measures_and_the_report_says_so(windows: Windows) -> None:
    only = VerificationWindows(windows(3, 9500)[0], None, "a test", ("a", "a", "a"))
    choosing, measured = only.divide()
    assert len(choosing) == len(measured) == 3 and "chose the observer, too" in measured.source


def test_a_model_without_windows_is_refused_by_what_to_do(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelFileError, match="--quantize none"):
        choose_ranges(*split_windows(replace(checkpoint, calibration=torch.empty(0))))


def test_hostile_signals_are_named_where_a_confident_label_flips(checkpoint: Checkpoint) -> None:
    """Signals in the order of hostile_signals.py; the first, silence, gets no label in the runtime."""
    sure, unsure = torch.tensor([9.0, 0.0, 0.0]), torch.tensor([0.1, 0.0, 0.0])
    expected = torch.stack([sure, sure, unsure, *[sure] * 6])
    actual = torch.stack([sure.flip(0), unsure.flip(0), sure.flip(0), *[sure] * 6])
    report = hostile_report(expected, actual, checkpoint)
    assert (report.gained, report.lost) == (("sweep",), ("hum",))
