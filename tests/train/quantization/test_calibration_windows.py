"""The two sets of windows in model.pt: they share no clip, they are small, they survive the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from runtime.errors import ModelFileError
from runtime.spec import FrontEndSpec
from train.augmentation.config import Augmentation
from train.checkpoints import model_pt
from train.checkpoints.model_pt import Checkpoint
from train.checkpoints.packed_windows import pack_windows, packed_bytes, to_8_bits, unpack_windows
from train.data.corpus import Clip
from train.data.windows import ClipWindows
from train.log_mel import LogMel
from train.quantization.calibration_windows import int8_windows

RATE = 32_000


def _dataset(prefix: str, clips: int, *, groups: int, labelled: bool = True) -> ClipWindows:
    random = np.random.default_rng(len(prefix))
    members = [
        Clip(f"{prefix}{i}.wav", (i % 3,) if labelled else None, group=f"{prefix}{i % groups}")
        for i in range(clips)
    ]
    waves = [(random.standard_normal(RATE) * 3000).astype(np.int16) for _ in members]
    return ClipWindows(members, waves, RATE, 3, seed=0)


@pytest.fixture(scope="module")
def log_mel() -> LogMel:
    return LogMel(FrontEndSpec.preset("cp_mel"))


@pytest.fixture(scope="module")
def train() -> ClipWindows:
    return _dataset("train", 60, groups=12)


def _clips(ids: tuple[str, ...]) -> set[str]:
    return {name.rpartition("@")[0] for name in ids}


def test_validation_clips_verify_and_training_clips_calibrate(log_mel: LogMel, train: ClipWindows) -> None:
    sets = int8_windows(train, _dataset("val", 12, groups=4), log_mel)
    assert _clips(sets["calibration_ids"]) == {clip.id for clip in train.clips}
    assert _clips(sets["verification_ids"]) == {f"val{i}.wav" for i in range(12)}
    assert sets["verification_targets"].sum(dim=0).tolist() == [4, 4, 4]
    assert len(sets["calibration"]) == 60 and len(sets["verification"]) == 12
    stored = sum(packed_bytes(sets[name]) for name in ("calibration", "verification"))
    assert stored < 0.8 * 72 * 256 * 64  # bytes, of white noise, which is packed worst


def test_without_validation_whole_groups_are_held_out(log_mel: LogMel, train: ClipWindows) -> None:
    sets = int8_windows(train, None, log_mel)
    group_of = {clip.id: clip.group for clip in train.clips}
    calibrated, verified = (
        {group_of[name] for name in _clips(sets[f"{kind}_ids"])} for kind in ("calibration", "verification")
    )
    assert calibrated and verified and not calibrated & verified
    assert (sets["verification_targets"].sum(dim=0) > 0).all()


def test_unlabelled_validation_clips_still_verify(log_mel: LogMel, train: ClipWindows) -> None:
    sets = int8_windows(train, _dataset("val", 6, groups=6, labelled=False), log_mel)
    assert len(sets["verification"]) == 6 and len(sets["verification_targets"]) == 0


def test_half_of_the_calibration_windows_is_augmented(log_mel: LogMel, train: ClipWindows) -> None:
    plain = int8_windows(train, None, log_mel)["calibration"]
    loud = Augmentation(gain_db=20.0, freq_mixstyle_p=None, mixup_alpha=None)
    augmented = int8_windows(train, None, log_mel, loud)["calibration"]
    changed = [not torch.allclose(a, b, atol=0.05) for a, b in zip(plain, augmented, strict=True)]
    assert 0.25 < np.mean(changed) < 0.75


def test_8_bits_round_by_half_a_step_and_no_more_the_second_time() -> None:
    windows = torch.randn(4, 1, 32, 20, generator=torch.Generator().manual_seed(0))
    rounded = to_8_bits(windows)
    step = 2.0 ** np.ceil(np.log2(float(windows.max() - windows.min()) / 254))
    assert (rounded.float() - windows).abs().max() <= step / 2
    assert torch.equal(to_8_bits(rounded), rounded)
    packed = pack_windows(rounded)
    assert isinstance(packed, dict) and torch.equal(unpack_windows(packed), rounded)


def test_windows_survive_the_file_in_8_bits_or_more(checkpoint: Checkpoint, tmp_path: Path) -> None:
    from dataclasses import replace

    model_pt.save(replace(checkpoint, verification=to_8_bits(checkpoint.calibration)), tmp_path / "m.pt")
    read = model_pt.load(tmp_path / "m.pt")
    assert torch.equal(read.calibration, checkpoint.calibration)  # more than 8 bits, as older releases wrote
    assert torch.equal(read.verification, to_8_bits(checkpoint.calibration))


def test_damaged_windows_are_one_sentence(checkpoint: Checkpoint) -> None:
    from dataclasses import replace

    values = model_pt.to_values(replace(checkpoint, calibration=to_8_bits(checkpoint.calibration)))
    values["calibration"]["deflated"] = values["calibration"]["deflated"][:-9]
    with pytest.raises(ModelFileError, match="damaged"):
        model_pt.from_values(values)


def test_a_file_of_an_older_release_has_no_verification_windows(checkpoint: Checkpoint) -> None:
    values = model_pt.to_values(checkpoint)
    for name in ("verification", "verification_targets", "verification_ids"):
        del values[name]
    assert len(model_pt.from_values(values).verification) == 0
