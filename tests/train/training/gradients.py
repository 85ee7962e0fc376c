"""A callback that records the gradients of the first step, with batch norm in evaluation mode."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning.pytorch import Callback
from torch import nn


class RecordGradients(Callback):
    """Writes ``gradients.pt`` into the run's folder.

    Batch norm is set to evaluation: each process would otherwise normalize by its own half of the batch.
    """

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()

    def on_before_optimizer_step(self, trainer, module, optimizer) -> None:
        path = Path(trainer.default_root_dir) / "gradients.pt"
        if trainer.is_global_zero and not path.exists():
            torch.save({name: p.grad.clone() for name, p in module.student.named_parameters()}, path)
