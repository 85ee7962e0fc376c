"""The summary of a report: the lines that terminal, Markdown and plot show."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from complexity.budget import LIMITED, UNITS
from complexity.report.report import Layer, Report


@dataclass(frozen=True)
class SummaryLine:
    """One line of a summary; a text is empty where a column does not apply."""

    label: str
    by_rule: str = ""
    limit: str = ""
    left: str = ""
    deployed: str = ""


def summarize(report: Report) -> list[SummaryLine]:
    """The totals, those of the rule first."""
    deployed = {"param_bytes": report.param_bytes_deployed, "macs": report.macs_deployed}
    limited = [
        SummaryLine(
            UNITS[name],
            number(getattr(report, name)),
            number(report.budget.limits.get(name)),
            number(report.headroom.get(name)),
            number(deployed.get(name)),
        )
        for name in LIMITED
    ]
    others = {
        "elementwise operations": report.elementwise_ops,
        "peak activation bytes": report.peak_activation_bytes,
        "scale and zero-point bytes": report.quantization_bytes,
        "front-end MACs": report.front_end_macs,
        "file bytes": report.file_bytes,
    }
    return limited + [SummaryLine(label, deployed=number(value)) for label, value in others.items()]


def explain_peak(report: Report) -> str:
    """Where the activations peak and what lives then."""
    tensors = ", ".join(f"{name} ({size:,})" for name, size in report.peak.tensors)
    return f"Activations peak in {report.peak.node or 'the network'}: {tensors}."


def explain_storage(report: Report) -> str:
    """How many bytes of parameters are stored in which data type."""
    kinds = sorted(report.param_bytes_by_dtype.items(), key=lambda kind: -kind[1])
    stored = ", ".join(f"{size:,} bytes as {dtype}" for dtype, size in kinds)
    return f"Parameters take {stored or 'nothing'}."


def explain_uncounted(report: Report) -> list[tuple[str, int]]:
    """Kinds of work that the rule reads as zero, and their MACs, most first."""
    kinds: dict[str, int] = defaultdict(int)
    for item in report.uncounted:
        kinds[item.kind] += item.macs
    return sorted(kinds.items(), key=lambda kind: -kind[1])


@dataclass(frozen=True)
class Part:
    """Layers that are shown as one."""

    name: str
    macs: int
    param_bytes: int
    live_bytes: int


def divide(report: Report, at_most: int) -> list[Part]:
    """The network in at most ``at_most`` parts: modules as deep as that allows, or the largest operators."""
    layers = [layer for layer in report.layers if layer.macs_deployed or layer.param_bytes_deployed]
    depth = max((layer.name.count(".") + 1 for layer in layers), default=1)
    groups: dict[str, list[Layer]] = {}
    for length in range(depth, 0, -1):
        groups = defaultdict(list)
        for layer in layers:
            groups[".".join(layer.name.split(".")[:length])].append(layer)
        if len(groups) <= at_most:
            break
    if len(groups) <= at_most:
        return [_part(name, members) for name, members in groups.items()]
    largest = set(sorted(groups, key=lambda name: -sum(x.macs_deployed for x in groups[name]))[: at_most - 1])
    rest = [layer for name, members in groups.items() if name not in largest for layer in members]
    return [_part(name, groups[name]) for name in groups if name in largest] + [
        _part(f"{len(rest)} others", rest)
    ]


def _part(name: str, layers: list[Layer]) -> Part:
    single = len(layers) == 1 and "." not in name  # the name of an operator means little without its kind
    return Part(
        f"{name} {layers[0].kind}" if single else name,
        sum(layer.macs_deployed for layer in layers),
        sum(layer.param_bytes_deployed for layer in layers),
        max(layer.live_bytes for layer in layers),
    )


def number(value: int | None) -> str:
    """With thousands separated; empty for None."""
    return "" if value is None else f"{value:,}"
