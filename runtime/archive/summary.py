"""When which class was found: counts by class and hour of the day, and a picture of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from runtime.archive.result import FileResult
from runtime.entry_point import require
from runtime.files import write_beside

_HOURS = 24
_UNKNOWN = _HOURS  # the column of recordings without a time of day
_MAX_LABELS = 40
_ROUND_FROM = 10  # rates below have a decimal


class HourSummary:
    """Rows by class and hour, and how long was recorded in each hour, by the recorders' clocks.

    Attributes:
        rows: how many rows a label has in an hour; hour 24 are those without a time of day.
        seconds: recorded in that hour.

    Example:
        >>> from runtime.archive.result import Identity, Row, pack_rows
        >>> rows = pack_rows([Row(0.0, 1.0, "dog", 0.75, "ok")])
        >>> summary = HourSummary()
        >>> summary.add(FileResult("a.wav", Identity(0, 0), 5400.0, datetime(2024, 6, 1, 22, 0), rows))
        >>> summary.rows["dog", 22], summary.seconds[22], summary.seconds[23]
        (1, 3600.0, 1800.0)
    """

    def __init__(self) -> None:
        self.rows: Counter[tuple[str, int]] = Counter()
        self.seconds: dict[int, float] = dict.fromkeys(range(_HOURS + 1), 0.0)

    def add(self, result: FileResult) -> None:
        """Count a file in."""
        for row in result.unpacked():
            if row.label is not None:
                time = result.time_of(row)
                self.rows[row.label, _UNKNOWN if time is None else time.hour] += 1
        if result.recorded_at is None:
            self.seconds[_UNKNOWN] += result.seconds
        else:
            self._add_span(result.recorded_at, result.seconds)

    def labels(self, order: Sequence[str]) -> list[str]:
        """The labels that were found, in this order; of very many those with most rows."""
        totals: Counter[str] = Counter()
        for (label, _), count in self.rows.items():
            totals[label] += count
        by_count = sorted(totals, key=lambda label: (-totals[label], label))
        return [label for label in order if label in by_count[:_MAX_LABELS]]

    def rate(self, label: str, hour: int) -> float:
        """Rows of a label per recorded hour, in an hour of the day; NaN where nothing was recorded."""
        seconds = self.seconds[hour]
        return self.rows[label, hour] * 3600 / seconds if seconds else float("nan")

    def _add_span(self, began: datetime, seconds: float) -> None:
        """Share out a recording among the hours that it lies in."""
        while seconds > 0:
            next_hour = began.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
            part = min(seconds, (next_hour - began).total_seconds())
            self.seconds[began.hour] += part
            began, seconds = next_hour, seconds - part


def draw(summary: HourSummary, order: Sequence[str], what: str, path: Path) -> None:
    """Write a picture: rows per recorded hour by class and hour of the day, and the recorded hours above.

    Args:
        summary: what to draw.
        order: of the labels, from top to bottom.
        what: a row is, such as ``events``.
        path: a .png file.

    Raises:
        MissingExtraError: where matplotlib is not installed.
        TinysceneError: where the file cannot be written.
    """
    figure_class = require("matplotlib.figure", extra="archive").Figure  # needs no display
    labels = summary.labels(order)
    hours = [hour for hour in range(_HOURS + 1) if hour < _UNKNOWN or summary.seconds[_UNKNOWN]]
    figure = figure_class(figsize=(10, 3.0 + 0.3 * max(1, len(labels))), layout="constrained")
    recorded, found = figure.subplots(2, 1, sharex=True, height_ratios=[1.0, 0.3 * max(1, len(labels)) + 0.2])
    recorded.bar(range(len(hours)), [summary.seconds[hour] / 3600 for hour in hours], color="0.6")
    recorded.set_title("hours recorded", loc="left", fontsize="medium")
    rates = [[summary.rate(label, hour) for hour in hours] for label in labels]
    norm = require("matplotlib.colors", extra="archive").PowerNorm(0.5, vmin=0)  # rare classes show, too
    image = found.imshow(rates or [[float("nan")] * len(hours)], aspect="auto", cmap="viridis", norm=norm)
    _write_rates(found, rates)
    found.set_facecolor("0.93")  # hours in which nothing was recorded
    found.set_yticks(range(len(labels)), labels)
    found.set_xticks(range(len(hours)), [f"{hour:02}" if hour < _UNKNOWN else "no\ntime" for hour in hours])
    found.set_xlabel("hour of the day, by the recorder's clock")
    found.set_title(f"{what} per recorded hour", loc="left", fontsize="medium")
    figure.colorbar(image, ax=found, pad=0.01)
    with write_beside(path) as partial:
        figure.savefig(partial, dpi=120)


def _write_rates(axes: Any, rates: Sequence[Sequence[float]]) -> None:
    """Write every rate that is not zero into its cell."""
    highest = max((rate for row in rates for rate in row if rate == rate), default=0.0)  # without NaN
    for y, row in enumerate(rates):
        for x, rate in enumerate(row):
            if rate > 0:
                color = "black" if rate > highest / 3 else "white"
                text = f"{rate:.0f}" if rate >= _ROUND_FROM else f"{rate:.1f}"
                axes.text(x, y, text, ha="center", va="center", fontsize=7, color=color)
