"""Reports as Markdown, for a technical report or an issue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from complexity.report.report import Report
from complexity.report.summary import explain_peak, explain_storage, explain_uncounted, number, summarize
from complexity.report.terminal import compare


def to_markdown(report: Report) -> str:
    """One report with all its layers."""
    totals = [(x.label, x.by_rule, x.limit, x.left, x.deployed) for x in summarize(report)]
    layers = [
        (
            layer.name,
            layer.kind,
            "x".join(map(str, layer.output_shape)),
            number(layer.params),
            number(layer.macs),
            number(layer.macs_deployed),
            number(layer.elementwise_ops),
            number(layer.param_bytes_deployed),
            number(layer.live_bytes),
        )
        for layer in report.layers
    ]
    headings = ("layer", "kind", "output", "parameters by the rule", "MACs by the rule", "MACs deployed",
                "elementwise operations", "parameter bytes", "live activation bytes")  # fmt: skip
    return "\n".join(
        [
            f"## {report.model}",
            "",
            report.verdict(),
            "",
            *_table(("", "by the rule", "limit", "left", "deployed"), totals),
            "",
            f"Rule: {report.budget.rule} ({report.budget.source}) By the rule: {report.official} "
            f"Deployed: {report.deployed} {explain_storage(report)} {explain_peak(report)}",
            "",
            *_table(
                ("not counted by the rule", "MACs"), ((k, number(m)) for k, m in explain_uncounted(report))
            ),
            "",
            *_table(headings, layers),
        ]
    )


def comparison_to_markdown(reports: Sequence[Report]) -> str:
    """Reports side by side."""
    return "\n".join(_table(("", *(report.model for report in reports)), compare(reports)))


def _table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    rule = [":---", *["---:"] * (len(headings) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (headings, rule, *lines)]
