"""Weights averaged over epochs; the average is validated, saved and written to model.pt."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging


class EpochAverage(WeightAveraging):
    """The plain mean of the weights at the ends of epochs (Izmailov et al., UAI 2018).

    At the end of an epoch the mean so far is validated and written into checkpoints; before ``first_epoch``
    these are the epoch's own weights. The statistics of batch norm are averaged as well. For an exponential
    mean over steps take Lightning's ``EMAWeightAveraging``.

    Args:
        first_epoch: the first epoch of the mean, counted from 0.
    """

    def __init__(self, first_epoch: int = 0) -> None:
        super().__init__()
        self.first_epoch = first_epoch

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Never at Lightning's own time, which is after the validation of the epoch."""
        return False

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        """Add the epoch to the mean after its last batch."""
        if trainer.is_last_batch and (average := self._average_model) is not None:
            if trainer.current_epoch <= self.first_epoch:
                average.n_averaged.zero_()  # start the mean again with these weights
            average.update_parameters(pl_module)
