"""When the steps of a training begin."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import lightning


class StepClock(lightning.Callback):
    """Writes the seconds from the beginning of each step to that of the next one of the same epoch.

    Args:
        path: JSON file to write at the end.
        wall: by the clock; otherwise of the processor, in this process alone.
    """

    def __init__(self, path: str, wall: bool = False) -> None:
        self.path, self.seconds = Path(path), list[float]()
        self._now = time.perf_counter if wall else time.process_time
        self._began: float | None = None

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """The first step of an epoch follows no other."""
        self._began = None

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """After the batch was made."""
        now = self._now()
        if self._began is not None:
            self.seconds.append(now - self._began)
        self._began = now

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Write them."""
        self.path.write_text(json.dumps(self.seconds))
