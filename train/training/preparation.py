"""What no weight decides of a training step: the view that a student is shown, and what its teachers expect.

`Classifier` prepares a batch in the process that trains, or worker processes of the loader prepare it beside
the step before; every random number depends on (seed, epoch, number of the batch) alone, so the batches are
the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from runtime.cores import usable_cores
from train.augmentation.config import Augmentation
from train.augmentation.random_draws import generator_for
from train.augmentation.views import View
from train.data import Batch, ClipWindows
from train.distillation.ensemble import Expected, TeacherEnsemble
from train.log_mel import LogMel


class PreparedBatch(NamedTuple):
    """What the step of a network needs of a batch.

    Attributes:
        log_mel: [batch, 1, mels, frames], augmented, with MixUp.
        target: float32 [batch, classes], mixed as the examples were.
        labelled: float32 [batch], mixed as the examples were.
        clip_target, clip_labelled: of the clips, before they were mixed; see `train.data.Batch`.
        expected: what the teachers expect; None without distillation.
    """

    log_mel: Tensor
    target: Tensor
    labelled: Tensor
    clip_target: Tensor
    clip_labelled: Tensor
    expected: Expected | None


class Views:
    """Computes the views of batches of a split.

    Args:
        log_mel: the student's front end.
        augmentation: None shows the windows as they are.
        seed: of the augmentation.
        dataset: the split that the batches are of.
    """

    def __init__(
        self, log_mel: LogMel, augmentation: Augmentation | None, seed: int, dataset: ClipWindows
    ) -> None:
        self._log_mel, self._augmentation, self._seed = log_mel, augmentation, seed
        self._clips = dataset.clips

    def __call__(self, batch: Batch) -> View:
        """The view of a batch, on the device of its waveforms."""
        if self._augmentation is None:
            return View(batch.waveform, self._log_mel(batch.waveform), None)
        devices = [self._clips[clip].device for clip in batch.clip.tolist()]
        generator = generator_for(self._seed, batch.epoch, batch.number)
        return self._augmentation.view(batch.waveform, self._log_mel, generator, devices)


class Preparation:
    """Prepares batches, in any process.

    Args:
        views: of the training split.
        open_teachers: None without distillation. Each process opens its own teachers with the first batch:
            open files and sessions do not survive a fork.
    """

    def __init__(self, views: Views, open_teachers: Callable[[], TeacherEnsemble] | None) -> None:
        self._views, self._open = views, open_teachers
        self._opened: tuple[int, TeacherEnsemble] | None = None  # process, and its teachers

    def __call__(self, batch: Batch) -> PreparedBatch:
        """Compute the view, and what the teachers expect of it."""
        with torch.no_grad():
            view = self._views(batch)
        teachers = self.teachers
        expected = None if teachers is None else teachers.expected(batch, view)
        mixed = view.mixed(batch.target), view.mixed(batch.labelled)
        return PreparedBatch(view.log_mel, *mixed, batch.target, batch.labelled, expected)

    @property
    def teachers(self) -> TeacherEnsemble | None:
        """The teachers of this process; None without distillation.

        Raises:
            TinysceneError: where a teacher or store does not fit the training; the message names it.
        """
        if self._open is None:
            return None
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), self._open()
        return self._opened[1]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}  # for workers that are not forked


def threads_beside(workers: int) -> int:
    """Threads that a training takes which leaves workers their cores; no more than it has now.

    Threads that wait for each other at every operator take several times as long where one of them has to
    share its core.
    """
    return max(1, min(torch.get_num_threads(), usable_cores() - workers))
