"""Weights averaged over epochs, as they are validated, saved and written to model.pt."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging


class EpochAverage(WeightAveraging):
    """The plain mean of the weights at the ends of epochs (Izmailov et al., UAI 2018).

    From each epoch's end on, the mean so far is what is validated and what checkpoints hold; before
    ``first_epoch`` that is the epoch's own weights. Batch norm's statistics are averaged as well. For an
    exponential mean of the steps take Lightning's ``EMAWeightAveraging``.

    Args:
        first_epoch: that counts, from 0.
    """

    def __init__(self, first_epoch: int = 0) -> None:
        super().__init__()
        self.first_epoch = first_epoch

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Never when Lightning asks: its epochs end after their validation."""
        return False

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        """Count the epoch after its last batch."""
        if trainer.is_last_batch and (average := self._average_model) is not None:
            if trainer.current_epoch <= self.first_epoch:
                average.n_averaged.zero_()  # begin anew, with these weights
            average.update_parameters(pl_module)
