"""Who writes a model as C: other packages register it.

This package does not import ``export``. ``export`` registers its writer as an entry point of the group
``tinyscene.c_writers``, named after the suffix of the file that it reads (pyproject.toml).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from runtime.entry_point import require
from runtime.errors import ConfigError

GROUP = "tinyscene.c_writers"


def write_c(model: Path, folder: Path, *, fixed_point: bool = False) -> None:
    """Write a model as C into a folder.

    Args:
        model: a file of a suffix that a writer is registered for.
        folder: written to.
        fixed_point: compute the log-mel in integers.

    Raises:
        ConfigError: where no writer is registered for the file's suffix.
        MissingExtraError: where onnx is not installed.
        ModelFileError: where the file cannot become C.
    """
    writers = {entry.name: entry for entry in entry_points(group=GROUP)}
    suffix = model.suffix.lower().lstrip(".")
    if suffix not in writers:
        raise ConfigError(
            f"{model} cannot be compiled for --target: give an INT8 .onnx file, and have export installed."
        )
    require("onnx", extra="complexity")
    writer: Callable[..., Any] = writers[suffix].load()
    writer(model, folder, fixed_point=fixed_point)
