"""Matplotlib without a screen, and figures written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime.entry_point import require
from runtime.files import write_beside


def pyplot() -> Any:
    """``matplotlib.pyplot`` without a screen. Raises MissingExtraError where it is not installed."""
    require("matplotlib", extra="train").use("Agg")
    return require("matplotlib.pyplot", extra="train")


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a figure as the format that the file's name ends with, PNG where it names none; then close it."""
    with write_beside(path) as partial:
        figure.savefig(partial, dpi=120, format=Path(path).suffix[1:] or "png")
    pyplot().close(figure)
