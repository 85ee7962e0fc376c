"""Reports in a terminal: totals against limits, and bars for where everything goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from complexity.report.report import Report
from complexity.report.summary import (
    divide,
    explain_peak,
    explain_storage,
    explain_uncounted,
    number,
    summarize,
)
from runtime.entry_point import require

_PARTS = 18
_BAR = 6  # characters
_LABEL = 32
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def print_report(report: Report) -> None:
    """Print one report, the verdict last."""
    totals = _table(f"{report.model} by {report.budget.name}", "", "by the rule", "limit", "left", "deployed")
    for line in summarize(report):
        totals.add_row(line.label, line.by_rule, line.limit, line.left, line.deployed)
    _print(totals)
    _print(_bars(report))
    print(explain_storage(report), explain_peak(report))
    for kind, macs in explain_uncounted(report):
        print(f"Not counted by the rule: {kind}, {macs:,} MACs.")
    print(f"By the rule: {report.official} Deployed: {report.deployed}")
    print(report.verdict())


def print_comparison(reports: Sequence[Report]) -> None:
    """Print reports side by side."""
    table = _table(f"by {reports[0].budget.name}", "", *(report.model for report in reports))
    for label, *values in compare(reports):
        table.add_row(label, *values)
    _print(table)


def compare(reports: Sequence[Report]) -> list[list[str]]:
    """A label and one value per report, line by line."""
    columns = [summarize(report) for report in reports]
    lines = []
    for same in zip(*columns, strict=True):
        if any(line.by_rule for line in same):
            lines.append([same[0].label, *(line.by_rule for line in same)])
        if any(line.deployed for line in same):
            suffix = ", deployed" if same[0].by_rule else ""
            lines.append([same[0].label + suffix, *(line.deployed for line in same)])
    missed = [sum(item.macs for item in report.uncounted) for report in reports]
    lines.append(["MACs that the rule misses", *map(number, missed)])
    return [*lines, ["within the limits", *("yes" if report.within else "no" for report in reports)]]


def _bars(report: Report) -> Any:
    parts = divide(report, _PARTS)
    table = _table("", "where it goes", "MACs", "", "bytes", "", "live bytes", "")
    most = [max((getattr(part, name) for part in parts), default=0) for name in _BARRED]
    for part in parts:
        cells: list[str] = []
        for name, largest in zip(_BARRED, most, strict=True):
            value = getattr(part, name)
            cells += [_short(value), _bar(value / largest if largest else 0)]
        table.add_row(part.name, *cells)
    return table


_BARRED = ("macs", "param_bytes", "live_bytes")


def _short(value: int) -> str:
    """Three digits and a unit, which is enough beside a bar."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            digits = 2 if value < 10 * size else 1 if value < 100 * size else 0
            return f"{value / size:.{digits}f} {unit}"
    return str(value)


def _bar(share: float) -> str:
    eighths = round(share * _BAR * 8)
    return (_EIGHTHS[-1] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(_BAR)


def _table(title: str, first: str, *headings: str) -> Any:
    box = require("rich.box", extra="complexity")
    table = require("rich.table", extra="complexity").Table(
        title=title or None, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column(first, overflow="ellipsis", no_wrap=True, max_width=_LABEL)
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    return table


def _print(table: Any) -> None:
    require("rich.console", extra="complexity").Console(highlight=False).print(table)
