"""The windows of a split's clips, cut in batches."""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from runtime.audio.level import NO_SIGNAL_DBFS, level_dbfs
from runtime.audio.samples import as_float
from runtime.audio.window_grid import window_starts
from runtime.errors import DataError
from train.data.corpus import Clip, Samples, multi_hot


class Batch(NamedTuple):
    """Windows of clips.

    Attributes:
        waveform: float32 [batch, samples].
        target: float32 [batch, classes], 1 for each label of the clip; all 0 where it is not labelled, and of
            a negative, which is labelled as none of the classes.
        labelled: float32 [batch], 1 where the clip is labelled and 0 where it is not.
        clip: int64 [batch], the position of its clip among the split's clips.
        start: int64 [batch], the window's first sample within its clip; negative where zeros come before it.
        epoch: that it was cut for; seeds the jitter, and with ``number`` the augmentation.
        number: of the batch within the epoch, over all processes.
    """

    waveform: Tensor
    target: Tensor
    labelled: Tensor
    clip: Tensor
    start: Tensor
    epoch: int = 0
    number: int = 0


class BatchIndices(NamedTuple):
    """What a sampler asks of a dataset: a batch of windows, as an epoch sees them."""

    epoch: int
    windows: list[int]
    number: int = 0


class WindowPosition(NamedTuple):
    """Where a window lies: position of its clip in the split, first sample within that clip, or below 0."""

    clip: int
    start: int


class ClipWindows(Dataset[Batch]):
    """The windows of a split, cut from its clips.

    It has no state that changes: what depends on the epoch comes with the indices, so that worker processes,
    which hold copies of it, cut the same batches.

    Args:
        clips: the split's clips.
        samples: their waveforms, in the same order.
        length: samples of a window.
        n_classes: width of the targets.
        jitter: draw the place of every window anew in every epoch, up to half a window around its own.
        random_place: put a clip that is shorter than a window at a random place in it, whole and between
            zeros, which every epoch draws anew; otherwise it begins the window.
        seed: of the jitter and of the places.
        unlabelled: ids of clips whose labels are withheld.
        negative_share: share of negatives among the windows of an epoch; null takes all windows once.
        quiet_db: see `windows_with_signal`.

    Raises:
        DataError: where there are no negatives to take a share of.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        samples: Sequence[Samples],
        length: int,
        n_classes: int,
        *,
        jitter: bool = False,
        random_place: bool = False,
        seed: int = 0,
        unlabelled: Container[str] = (),
        negative_share: float | None = None,
        quiet_db: float | None = None,
    ) -> None:
        self.clips, self.samples, self.length = clips, samples, length
        self.labelled = np.array(
            [clip.targets is not None and clip.id not in unlabelled for clip in clips], np.float32
        )
        self.targets = multi_hot(clips, n_classes) * self.labelled[:, None]
        self.jitter, self.random_place, self.seed = jitter, random_place, seed
        self.quiet_db = quiet_db
        self.windows: list[WindowPosition] = []
        self.lengths: list[int] = []  # of the clips, samples
        # tqdm's None: silent where stderr is not a terminal
        cut = tqdm(samples, desc="cutting windows", unit="clip", disable=None, leave=False)
        for clip, wave in enumerate(cut):
            self.lengths.append(len(wave))
            starts = windows_with_signal(wave, length, quiet_db)
            self.windows += [WindowPosition(clip, start) for start in starts]
        self.negative_share = negative_share
        if negative_share and not len(self.negatives):
            raise DataError(
                "data.negative_share asks for negatives, and the corpus has none: wrap it in "
                "train.data.WithNegatives, or remove data.negative_share."
            )

    def __len__(self) -> int:
        return len(self.windows)

    @cached_property
    def negatives(self) -> npt.NDArray[np.int64]:
        """The windows of clips that are labelled as none of the classes."""
        negative = self.labelled.astype(bool) & ~self.targets.any(axis=1)
        return np.flatnonzero(negative[[window.clip for window in self.windows]])

    def windows_of_epoch(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """The windows of an epoch in random order: all, or a random part of the negatives."""
        share = self.negative_share
        if share is None:
            return random.permutation(len(self.windows))
        others = np.setdiff1d(np.arange(len(self.windows)), self.negatives)
        count = negatives_beside(len(others), share)
        drawn = random.choice(self.negatives, count, replace=count > len(self.negatives))
        return random.permutation(np.concatenate([others, drawn]))

    @property
    def epoch_length(self) -> int:
        """How many windows an epoch has."""
        if self.negative_share is None:
            return len(self.windows)
        others = len(self.windows) - len(self.negatives)
        return others + negatives_beside(others, self.negative_share)

    def __getitem__(self, indices: BatchIndices) -> Batch:
        """Cut a whole batch as the epoch of ``indices`` sees it."""
        epoch, windows, number = indices
        return self._batch([self._moved(index, epoch) for index in windows], epoch, number)

    def at_rest(self, windows: Sequence[int]) -> Batch:
        """A batch without jitter."""
        return self._batch([self.windows[index] for index in windows])

    __getitems__ = at_rest  # what a loader calls that puts batches together by itself

    def _batch(self, windows: Sequence[WindowPosition], epoch: int = 0, number: int = 0) -> Batch:
        clips, starts = np.array(windows, np.int64).T
        return Batch(
            torch.from_numpy(np.stack([self._cut(window) for window in windows])),
            torch.from_numpy(self.targets[clips]),
            torch.from_numpy(self.labelled[clips]),
            torch.from_numpy(clips),
            torch.from_numpy(starts),
            epoch,
            number,
        )

    def _moved(self, index: int, epoch: int) -> WindowPosition:
        """A window moved by the jitter of an epoch, or by the place that its clip is given."""
        clip, start = self.windows[index]
        last = self.lengths[clip] - self.length
        placed = self.random_place and last < 0
        if not (self.jitter or placed):
            return self.windows[index]
        draw = np.random.default_rng((self.seed, epoch, index))
        if placed:
            return WindowPosition(clip, int(draw.integers(last, 1)))
        start += int(draw.integers(-self.length // 2, self.length // 2 + 1))
        return WindowPosition(clip, min(max(start, 0), max(last, 0)))

    def _cut(self, window: WindowPosition) -> npt.NDArray[np.float32]:
        """One window, float32 [samples]."""
        wave, start = self.samples[window.clip], window.start
        before = max(-start, 0)
        cut = as_float(wave[max(start, 0) : start + self.length])
        return np.pad(cut, (before, self.length - before - len(cut)))


def negatives_beside(others: int, share: float) -> int:
    """How many negatives make up ``share`` of the windows together with ``others``."""
    return round(others * share / (1 - share))


def windows_with_signal(wave: Samples, length: int, quiet_db: float | None = None) -> list[int]:
    """Starts of the windows that are not silent; the loudest one where all are.

    Corpora pad short recordings with digital silence, which belongs to no class.

    Args:
        wave: of a clip [samples].
        length: samples of a window.
        quiet_db: leave out windows that lie further below the clip's loudest one, too.
    """
    starts = window_starts(len(wave), length, length)
    levels = [level_dbfs(as_float(wave[start : start + length])) for start in starts]
    least = NO_SIGNAL_DBFS
    if quiet_db is not None:
        least = max(least, max(levels, default=least) - quiet_db)
    with_signal = [start for start, level in zip(starts, levels, strict=True) if level >= least]
    return with_signal or [starts[int(np.argmax(levels))]]
