"""A report as text: the table for a terminal."""

from __future__ import annotations

from typing import Any

from complexity.budget import UNITS
from complexity.report import Report
from runtime.door import require


def print_table(report: Report) -> None:
    """Print the totals against their limits, then what else is known."""
    table_class = require("rich.table", extra="complexity").Table
    table = table_class(title=f"{report.model} by {report.budget.name}", title_justify="left")
    table.add_column("quantity")
    for heading in ("value", "limit", "left"):
        table.add_column(heading, justify="right")
    for name, unit in UNITS.items():
        limit, left = report.budget.limits.get(name), report.headroom.get(name)
        table.add_row(unit, _number(getattr(report, name)), _number(limit), _number(left))
    for extra, label in (("front_end_macs", "front-end MACs"), ("file_bytes", "file bytes")):
        table.add_row(label, _number(getattr(report, extra)), "", "")
    console = require("rich.console", extra="complexity").Console()
    console.print(table)
    print(report.excess() or f"Within {report.budget.name}.")


def _number(value: Any) -> str:
    return "" if value is None else f"{value:,}"
