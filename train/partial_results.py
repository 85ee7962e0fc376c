"""Partial results of one output file, kept beside it until it is complete, so that a killed run can go on."""

from __future__ import annotations

import glob
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from runtime.files import make_folder


class PartialResults:
    """The files that an output is put together of.

    Args:
        output: the file.
        key: JSON values; the partial results of an earlier run are used again where it had equal ones.
        count: number of partial results.

    Attributes:
        paths: of the partial results, in order, whether they exist or not.

    Raises:
        ConfigError: where their folder cannot be made.
    """

    def __init__(self, output: Path, key: Any, count: int) -> None:
        self._output = output
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
        folder = output.parent / f".{output.name}.{digest}.parts"
        make_folder(folder, "name another --output")
        self.paths = [folder / f"{index:06}.npz" for index in range(count)]

    def missing(self) -> list[int]:
        """Indices of those that do not exist yet."""
        return [index for index, path in enumerate(self.paths) if not path.exists()]

    def clear(self) -> None:
        """Remove them, and those of runs with another key."""
        for folder in self._output.parent.glob(f".{glob.escape(self._output.name)}.*.parts"):
            shutil.rmtree(folder, ignore_errors=True)
