"""Ctrl-C in a training says how to go on."""

from __future__ import annotations

import sys
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from train.checkpoints.resume import last_checkpoint


class Interruption(Callback):
    """Prints to stderr whether an interrupted training can go on, and from where."""

    @rank_zero_only
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Print, where the exception is that of Ctrl-C."""
        if not isinstance(exception, KeyboardInterrupt):
            return
        last = last_checkpoint(Path(trainer.default_root_dir))
        how = f"goes on from {last}" if last.is_file() else "would begin anew: no epoch has ended"
        print(f"Interrupted: the same command with --ckpt_path=last {how}.", file=sys.stderr)
