"""Checkpoints of a training appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from runtime.files import write_beside


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it into it.

    Lightning writes it elsewhere and moves it, across file systems by copying: a full disk then leaves a part
    of it, and the checkpoint before is gone.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write it; the arguments are those of Lightning's ``CheckpointIO``."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with write_beside(Path(path)) as partial:
            torch.save(checkpoint, partial)
