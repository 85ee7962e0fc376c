"""Work cut into parts that lie beside the output until all are there, so that a killed run can go on."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any


class Parts:
    """The parts of one output file.

    Args:
        output: the file that they will be put together to.
        key: JSON values that parts of an earlier run must agree in to be used again.
        count: number of parts.
    """

    def __init__(self, output: Path, key: Any, count: int) -> None:
        self._output = output
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
        folder = output.parent / f".{output.name}.{digest}.parts"
        folder.mkdir(parents=True, exist_ok=True)
        self.paths = [folder / f"{index:06}.npz" for index in range(count)]

    def missing(self) -> list[int]:
        """Which parts are not there yet."""
        return [index for index, path in enumerate(self.paths) if not path.exists()]

    def clear(self) -> None:
        """Remove them, and those of runs with other settings."""
        for folder in self._output.parent.glob(f".{self._output.name}.*.parts"):
            shutil.rmtree(folder, ignore_errors=True)
