"""One progress bar over all steps of a training, with the time that is left by the steps so far."""

from __future__ import annotations

import sys
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

_MEASURED_STEPS = 30  # that the estimate is made of


class StepBar(Callback):
    """Shows steps, time left and the last validation accuracy on stderr; silent where that is no terminal.

    Lightning's own bar is of an epoch, which lasts seconds where there are few clips. Set
    ``trainer.enable_progress_bar`` to false beside it.
    """

    def __init__(self) -> None:
        self._bar: Any = None  # a tqdm while training; its class takes no parameter at run time
        self._measured: list[float] = []  # when the first steps ended

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin at the step that the training resumes with."""
        if trainer.is_global_zero:
            self._bar = tqdm(
                total=int(trainer.estimated_stepping_batches),
                initial=trainer.global_step,
                desc="training",
                unit="step",
                disable=None,
            )

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Count a step; after the first ones, print how long the rest takes."""
        if self._bar is None:
            return
        self._bar.update()
        if len(self._measured) < _MEASURED_STEPS:
            self._measured.append(time.perf_counter())
            if len(self._measured) == _MEASURED_STEPS:
                self._print_estimate(int(trainer.estimated_stepping_batches) - trainer.global_step)

    def _print_estimate(self, left: int) -> None:
        step_s = (self._measured[-1] - self._measured[0]) / (len(self._measured) - 1)
        line = f"{left:,} steps of {step_s:.2f} s, as measured, are about {left * step_s / 60:.0f} minutes"
        tqdm.write(line, file=sys.stderr)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the accuracy."""
        accuracy = trainer.callback_metrics.get("val/accuracy")
        if self._bar is not None and accuracy is not None:
            self._bar.set_postfix_str(f"accuracy {float(accuracy):.0%}")

    def on_train_end(self, *_: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
