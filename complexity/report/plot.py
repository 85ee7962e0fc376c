"""A picture of where MACs, bytes and activations go."""

from __future__ import annotations

from pathlib import Path

from complexity.report.report import Report
from complexity.report.summary import divide
from runtime.entry_point import require
from runtime.errors import ConfigError
from runtime.files import write_beside

_PARTS = 30
_FORMATS = (".png", ".svg", ".pdf")


def plot(report: Report, path: str | Path) -> None:
    """Draw one bar per part of the network for each of the three.

    Args:
        report: what to draw.
        path: a .png, .svg or .pdf file to write.

    Raises:
        ConfigError: for another suffix.
    """
    if Path(path).suffix not in _FORMATS:
        raise ConfigError(
            f"{path} is no format of a picture: give a file that ends in {', '.join(_FORMATS)}."
        )
    figure_class = require("matplotlib.figure", extra="complexity").Figure  # needs no display
    parts = divide(report, _PARTS)
    figure = figure_class(figsize=(12, 1.5 + 0.25 * len(parts)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    series = {
        "MACs": [part.macs for part in parts],
        "parameter bytes": [part.param_bytes for part in parts],
        "live activation bytes": [part.live_bytes for part in parts],
    }
    for axes, (label, values) in zip(panels, series.items(), strict=True):
        axes.barh(range(len(parts)), values)
        axes.set_xlabel(label)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.locator_params(axis="x", nbins=4)
    panels[0].set_yticks(range(len(parts)), [part.name for part in parts])
    panels[0].invert_yaxis()  # the first layer on top
    figure.suptitle(f"{report.model}: {report.verdict()}")
    with write_beside(path) as partial:
        figure.savefig(partial)
