"""The share of an epoch in which training waits for data."""

from __future__ import annotations

import sys
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only


class DataWait(Callback):
    """Logs ``train/data_wait`` once an epoch, and prints the share of the whole fit at its end.

    The share is the time between training steps, in which a batch is fetched and moved to the device,
    divided by that time plus the time of the steps: 0 to 1. Validation counts as neither. On a GPU a step
    ends when it is queued, so a batch that is prepared while the GPU still works counts as waiting: the
    share is an upper bound there.
    """

    def __init__(self) -> None:
        self.waited_s = self.worked_s = 0.0  # over the whole fit
        self._at_epoch_start = (0.0, 0.0)  # both of them when the epoch began
        self._mark = 0.0  # when the last wait or step ended

    @property
    def share(self) -> float:
        """The share over the fit so far."""
        return _share(self.waited_s, self.worked_s)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to wait for the first batch of the epoch."""
        self._at_epoch_start = (self.waited_s, self.worked_s)
        self._mark = time.perf_counter()

    def on_train_batch_start(self, *_: Any) -> None:
        """End a wait."""
        self.waited_s += self._lap()

    def on_train_batch_end(self, *_: Any) -> None:
        """End a step."""
        self.worked_s += self._lap()

    def on_validation_end(self, *_: Any) -> None:
        """Leave out validation in the middle of an epoch."""
        self._lap()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's share to every logger; the mean over all processes."""
        waited, worked = self._at_epoch_start
        share = _share(self.waited_s - waited, self.worked_s - worked)
        pl_module.log("train/data_wait", share, sync_dist=True)

    @rank_zero_only
    def on_fit_end(self, *_: Any) -> None:
        """Print the share of the whole fit to stderr."""
        if self.waited_s + self.worked_s:
            print(f"waited for data in {self.share:.1%} of the training's time", file=sys.stderr)

    def _lap(self) -> float:
        """Seconds since the mark; the mark is set to now."""
        before, self._mark = self._mark, time.perf_counter()
        return self._mark - before


def _share(waited_s: float, worked_s: float) -> float:
    return waited_s / max(waited_s + worked_s, 1e-9)
