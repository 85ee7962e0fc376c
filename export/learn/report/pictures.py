"""The pictures of the report: confusions, and accuracy under conditions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from export.learn.report.measure import Measured
from train.plots import pyplot, save_figure


def draw(measured: Measured, folder: Path) -> list[str]:
    """Write the PNG files into a folder; returns their names."""
    _confusion(measured, folder / "confusion.png")
    _conditions(measured, folder / "conditions.png")
    return ["confusion.png", "conditions.png"]


def _confusion(measured: Measured, path: Path) -> None:
    matrix, labels = measured.confusion, measured.labels
    figure, axes = pyplot().subplots(figsize=(1.5 + 0.6 * len(labels),) * 2, layout="constrained")
    axes.imshow(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(matrix), strict=True):
        shade = "white" if matrix[row, column] > matrix[row].sum() / 2 else "black"
        axes.text(column, row, matrix[row, column], ha="center", va="center", color=shade)
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="predicted", ylabel="true", title=f"{measured.clips.value:.1%} of held-out clips")
    save_figure(figure, path)


def _conditions(measured: Measured, path: Path) -> None:
    names = list(measured.conditions)[::-1]
    shares = [measured.conditions[name] for name in names]
    values = np.array([100 * share.value for share in shares])
    bounds = 100 * np.array([share.interval for share in shares]).T
    figure, axes = pyplot().subplots(figsize=(7, 1 + 0.4 * len(names)), layout="constrained")
    axes.barh(names, values, xerr=np.abs(bounds - values), capsize=3, color="tab:blue", alpha=0.7)
    axes.set(xlim=(0, 100), xlabel="windows that are right, %, with 95 % intervals")
    save_figure(figure, path)
