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
    """

    def __init__(self, path: str) -> None:
        self.path, self.seconds = Path(path), list[float]()
        self._began: float | None = None

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """The first step of an epoch follows no other."""
        self._began = None

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """After the batch was made."""
        now = time.process_time()
        if self._began is not None:
            self.seconds.append(now - self._began)
        self._began = now

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Write them."""
        self.path.write_text(json.dumps(self.seconds))
