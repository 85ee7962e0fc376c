"""Partial results beside an output file, so that a killed run can resume."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any


class Parts:
    """The partial results of one output file.

    Args:
        output: the file that they are merged into.
        key: JSON values by which the parts of an earlier run are recognised as reusable.
        count: number of parts.
    """

    def __init__(self, output: Path, key: Any, count: int) -> None:
        self._output = output
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
        folder = output.parent / f".{output.name}.{digest}.parts"
        folder.mkdir(parents=True, exist_ok=True)
        self.paths = [folder / f"{index:06}.npz" for index in range(count)]

    def missing(self) -> list[int]:
        """Indices of the parts that do not exist yet."""
        return [index for index, path in enumerate(self.paths) if not path.exists()]

    def clear(self) -> None:
        """Remove all parts, also those of runs with other settings."""
        for folder in self._output.parent.glob(f".{self._output.name}.*.parts"):
            shutil.rmtree(folder, ignore_errors=True)
