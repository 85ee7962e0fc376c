"""The two sets of windows that a model.pt carries for INT8; they share no clip.

*Calibration* windows are training clips as augmentation shows them, and choose ranges. *Verification* windows
are labelled validation clips, and measure what INT8 does to sound that nothing was calibrated on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from runtime.spec import Task
from train.augmentation.config import Augmentation
from train.augmentation.random_draws import generator_for
from train.augmentation.spectrum import freq_mixstyle
from train.checkpoints.packed_windows import packed_bytes, to_8_bits
from train.data.hold_out import hold_out
from train.data.windows import ClipWindows
from train.log_mel import LogMel

CALIBRATION_COUNT = 512
VERIFICATION_COUNT = 256
MAX_BYTES = 8_000_000  # of both sets in the file
_LEAST_VERIFICATION = 32  # windows that stay, however large they are in the file
_HELD_OUT = 0.25  # share of the groups that become verification windows where there is no validation split
_BATCH = 32  # waveforms that are augmented at once
_STREAM = 4_000_000  # keeps these random numbers apart from those of the epochs

Indices = npt.NDArray[np.int64]


def int8_windows(
    train: ClipWindows,
    validation: ClipWindows | None,
    log_mel: LogMel,
    augmentation: Augmentation | None = None,
    task: Task = "single_label",
) -> dict[str, Any]:
    """Choose both sets and compute their log-mels.

    Args:
        train: the training split.
        validation: the validation split. Where it is None or empty, whole groups of the training split are
            held out from calibration; such windows were trained on, so what is measured on them is
            optimistic.
        log_mel: the front end.
        augmentation: of the training. A random half of the calibration windows passes through what changes
            level, device and noise (capture, waveform augmentation, Freq-MixStyle); the others stay as they
            are.
        task: of the corpus.

    Returns:
        The fields ``calibration*`` and ``verification*`` of `train.checkpoints.model_pt.Checkpoint`.
    """
    if validation is not None and len(validation):
        calibrated, verified = np.arange(len(train)), validation
        places = np.arange(len(validation))
    else:
        (calibrated, places), verified = _held_out(train), train
    chosen = _spread(train, calibrated, CALIBRATION_COUNT)
    calibration = to_8_bits(_log_mels(train, chosen, log_mel, augmentation))
    labelled = places[_labelled(verified)[places]]
    if task == "single_label":
        labelled = np.setdiff1d(labelled, verified.negatives)  # a negative has no right answer
    judged = _spread(verified, labelled if len(labelled) else places, VERIFICATION_COUNT)
    verification = to_8_bits(_log_mels(verified, judged, log_mel)) if len(judged) else torch.empty(0)
    fit = _fitting(calibration, verification)
    judged, verification = judged[:fit], verification[:fit]
    targets = verified.targets[_clips(verified)[judged]] if len(labelled) else np.zeros((0, 0))
    return {
        "calibration": calibration,
        "calibration_targets": torch.from_numpy(_first_label(train)[chosen]),
        "calibration_ids": _ids(train, chosen),
        "verification": verification,
        "verification_targets": torch.from_numpy(np.asarray(targets, np.uint8)),
        "verification_ids": _ids(verified, judged),
    }


def _held_out(train: ClipWindows) -> tuple[Indices, Indices]:
    """Windows of most groups, and those of the others, of every class some."""
    _, others = hold_out(train.clips, _HELD_OUT, train.seed)
    names = {clip.id for clip in others}
    away = np.array([train.clips[clip].id in names for clip in _clips(train)], bool)
    return np.flatnonzero(~away), np.flatnonzero(away)


def _spread(dataset: ClipWindows, places: Indices, count: int) -> Indices:
    """Choose windows among ``places`` evenly over the labels, in random order, so that parts are even too."""
    random = np.random.default_rng(dataset.seed)
    order = random.permutation(places)
    labels = _first_label(dataset)[order]
    rank = np.zeros(len(order), np.int64)  # of a window among those of its label
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    return np.asarray(random.permutation(order[np.argsort(rank, kind="stable")][:count]), np.int64)


def _log_mels(
    dataset: ClipWindows, places: Indices, log_mel: LogMel, augmentation: Augmentation | None = None
) -> Tensor:
    """Log-mels [n, 1, n_mels, frames]; with an augmentation, of a random half augmented waveforms."""
    found = []
    device = log_mel.window.device
    for start in range(0, len(places), _BATCH):
        batch = dataset.at_rest(places[start : start + _BATCH].tolist())
        waveform = batch.waveform.to(device)
        if augmentation is not None:
            devices = [dataset.clips[clip].device for clip in batch.clip.tolist()]
            generator = generator_for(dataset.seed, _STREAM, start)
            rate, augmented = log_mel.spec.sample_rate, waveform
            if augmentation.capture is not None:
                augmented = augmentation.capture(augmented, rate, generator, devices)
            augmented = augmentation.waveform(augmented, rate, generator, devices)
            half = torch.rand(len(waveform), 1, generator=generator).to(device) < 0.5
            waveform = torch.where(half, augmented, waveform)
        with torch.inference_mode():
            log_mels = log_mel(waveform)
            if augmentation is not None and augmentation.freq_mixstyle_p:
                mixed = freq_mixstyle(log_mels, augmentation.freq_mixstyle_alpha, generator)
                log_mels = torch.where(half[:, :, None, None], mixed, log_mels)
            found.append(log_mels.cpu())
    return torch.cat(found).clone()


def _fitting(calibration: Tensor, verification: Tensor) -> int:
    """How many verification windows fit into the file beside the calibration windows."""
    if not len(verification):
        return 0
    room = MAX_BYTES - packed_bytes(calibration)
    each = packed_bytes(verification) / len(verification)
    return min(len(verification), max(int(room / each), _LEAST_VERIFICATION))


def _clips(dataset: ClipWindows) -> Indices:
    """The clip that each window is of."""
    return np.array([window.clip for window in dataset.windows], np.int64)


def _labelled(dataset: ClipWindows) -> npt.NDArray[np.bool_]:
    """Whether each window is labelled."""
    return np.asarray(dataset.labelled[_clips(dataset)] > 0)


def _first_label(dataset: ClipWindows) -> Indices:
    """The first label of each window; -1 where it has none."""
    of_clip = np.where(dataset.targets.any(axis=1), dataset.targets.argmax(axis=1), -1)
    return np.asarray(of_clip[_clips(dataset)], np.int64)


def _ids(dataset: ClipWindows, places: Sequence[int] | Indices) -> tuple[str, ...]:
    windows = [dataset.windows[place] for place in places]
    return tuple(f"{dataset.clips[window.clip].id}@{window.start}" for window in windows)
