"""The order of training batches, by seed and epoch alone, and the loaders."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import DataLoader, Sampler

from runtime.errors import TinysceneError
from train.data.windows import Batch, BatchIndices, ClipWindows


class EpochBatches(Sampler[BatchIndices]):
    """Shuffled batches, each with its epoch: a resumed run sees the order of an uninterrupted one.

    Batch ``b`` of an epoch holds the same windows in any number of processes, so that a teacher that scored
    it elsewhere has scored the same. An incomplete last batch is left out, unless it is the only one.

    Args:
        dataset: what to shuffle; its seed is that of the order, too.
        batch_size: windows of a batch.
        rank: number of this process; each takes every ``world``-th batch.
        world: number of processes. What does not divide evenly is left out, or one would wait for another.
        views: number of different epochs; epoch ``views`` is epoch 0 again. None repeats none.
    """

    def __init__(
        self,
        dataset: ClipWindows,
        batch_size: int,
        rank: int = 0,
        world: int = 1,
        *,
        views: int | None = None,
    ) -> None:
        self.dataset, self.size, self.rank, self.world = dataset, batch_size, rank, world
        self.views, self.epoch = views, 0

    def __len__(self) -> int:
        return max(self.dataset.epoch_length // self.size, 1) // self.world

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of every epoch, a resumed one too."""
        self.epoch = epoch if self.views is None else epoch % self.views

    def __iter__(self) -> Iterator[BatchIndices]:
        epoch = self.epoch
        order = self.dataset.windows_of_epoch(np.random.default_rng((self.dataset.seed, epoch)))
        for place in range(len(self)):
            number = place * self.world + self.rank
            begin = number * self.size
            yield BatchIndices(epoch, order[begin : begin + self.size].tolist(), number)


class BatchLoader(DataLoader[Batch]):
    """A loader whose workers start at the first batch, and whose errors are those of its workers.

    Lightning makes the iterator of the first epoch, or of the one that a run resumes with, before it gives
    the sampler the number of that epoch; workers that start then cut the batches of another one. And torch
    puts the traceback of a worker into the message of its error.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override] # an iterator is all that callers need
        try:
            yield from super().__iter__()
        except TinysceneError as error:
            of_worker = str(error).startswith(f"Caught {type(error).__name__} in DataLoader worker")
            if not of_worker:
                raise
            message = str(error).rpartition(f"{type(error).__name__}: ")[2]
            raise type(error)(message.strip()) from error
