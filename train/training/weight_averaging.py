"""Averaged weights: a mean over epochs, and the batch-norm statistics that averaged weights need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn

from train.data.batch_sampler import EpochBatches
from train.data.windows import ClipWindows

if TYPE_CHECKING:
    from train.training.lightning_module import Classifier

_BATCHES = 64  # that batch-norm statistics are the mean of


class EpochAverage(WeightAveraging):
    """The plain mean of the weights at the ends of epochs (Izmailov et al., UAI 2018).

    At the end of an epoch the mean so far is validated and written into checkpoints; before ``first_epoch``
    these are the epoch's own weights. The statistics of batch norm are averaged as well, and estimated anew
    for model.pt (`estimate_batch_norm`). For an exponential mean over steps take Lightning's
    ``EMAWeightAveraging``.

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


def estimate_batch_norm(module: Classifier, dataset: ClipWindows, batch_size: int) -> None:
    """Estimate the batch-norm statistics of the weights as they are, on views of the training split.

    The mean of the statistics that batches had while the weights changed is not what averaged weights give:
    of the longest trainings of ``python -m benchmarks.box_model ablate``, whose weights
    ``EMAWeightAveraging`` averages, 18 % of the test windows were right with averaged statistics, and 88 %
    are with estimated ones (folds 1 to 4 of ESC-10, one run each). Izmailov et al., "Averaging weights leads
    to wider optima and better generalization", UAI 2018, section 3.2.

    Args:
        module: its student's batch norms are changed, but for those of its frozen parts.
        dataset: the training split.
        batch_size: of the training.
    """
    still = {part for frozen in module.frozen for part in frozen.modules()}
    norms = [
        part
        for part in module.student.modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm)
        and part.track_running_stats
        and part not in still
    ]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    module.student.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
        norm.train()
    batches = EpochBatches(dataset, batch_size)
    with torch.no_grad():
        for number in range(_BATCHES):
            epoch, place = divmod(number, len(batches))
            if not place:
                batches.set_epoch(epoch)
                indices = iter(batches)
            batch = dataset[next(indices)]
            view = module.view(batch, dataset)
            module.student(view.log_mel)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.student.eval()
