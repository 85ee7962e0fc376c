"""Rows of a report: what the rule says beside what is executed, and the difference explained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from complexity.counters.torch_trace import Trace
from complexity.counters.torchinfo_count import OfficialRow
from complexity.operations import Graph, Node, live_bytes
from complexity.report.report import Layer, Uncounted

if TYPE_CHECKING:
    from torch import nn

_ROOT = "(root)"  # the path of the network itself is empty


def rows_of_graph(graph: Graph, *, by_rule: bool) -> tuple[Layer, ...]:
    """One row per operation.

    Args:
        graph: the operations.
        by_rule: apply the rule's formulas to each of them; False where its totals are already known.
    """
    return tuple(
        Layer(
            name=node.name,
            kind=node.op,
            output_shape=node.output_shape,
            params=node.params if by_rule else None,
            macs=node.work.official if by_rule else None,
            macs_deployed=node.work.macs,
            elementwise_ops=node.work.elementwise,
            param_bytes_deployed=node.param_bytes,
            live_bytes=live,
        )
        for node, live in zip(graph.nodes, live_bytes(graph), strict=True)
    )


def uncounted_in_graph(graph: Graph) -> tuple[Uncounted, ...]:
    """Operations that multiply more often than the rule's formula for them says."""
    missed = ((node, node.work.macs + node.work.multiplies - node.work.official) for node in graph.nodes)
    return tuple(Uncounted(node.name, node.op, macs) for node, macs in missed if macs > 0)


@dataclass
class _Module:
    """All that is known of one module path: torchinfo's rows and the operations traced in it."""

    kind: str
    output_shape: tuple[int, ...] = ()
    params: int = 0
    macs: int = 0
    nodes: list[Node] = field(default_factory=list)
    weighted: list[bool] = field(default_factory=list)
    live: list[int] = field(default_factory=list)


def rows_of_module(
    model: nn.Module, official: Sequence[OfficialRow], trace: Trace
) -> tuple[tuple[Layer, ...], tuple[Uncounted, ...]]:
    """Join torchinfo's rows with the trace of the same network.

    A module that is called more than once has one row with the sums. What is executed inside a leaf of
    torchinfo belongs to that leaf.

    Returns:
        The rows, and what the rule misses in them.
    """
    modules = _join(model, official, trace)
    rows = tuple(_row(name, module) for name, module in modules.items())
    missed = tuple(item for name, module in modules.items() for item in _uncounted(name, module))
    return rows, missed


def _join(model: nn.Module, official: Sequence[OfficialRow], trace: Trace) -> dict[str, _Module]:
    modules: dict[str, _Module] = {}
    for row in official:
        module = modules.setdefault(row.name, _Module(row.kind, row.output_shape))
        module.params += row.params
        module.macs += row.macs
    leaves = {row.name for row in official if row.leaf}
    live = live_bytes(trace.graph)
    for node, weighted, alive in zip(trace.graph.nodes, trace.weighted, live, strict=True):
        owner = _owner(node.name, leaves)
        if owner not in modules:
            modules[owner] = _Module(type(model.get_submodule(owner)).__name__, node.output_shape)
        modules[owner].nodes.append(node)
        modules[owner].weighted.append(weighted)
        modules[owner].live.append(alive)
    return modules


def _owner(path: str, leaves: set[str]) -> str:
    """The leaf of torchinfo that a module lies in, or the module itself."""
    parts = path.split(".") if path else []
    prefixes = [".".join(parts[:length]) for length in range(len(parts) + 1)]
    return next((prefix for prefix in prefixes if prefix in leaves), path)


def _row(name: str, module: _Module) -> Layer:
    return Layer(
        name=name or _ROOT,
        kind=module.kind,
        output_shape=module.output_shape,
        params=module.params,
        macs=module.macs,
        macs_deployed=sum(node.work.macs for node in module.nodes),
        elementwise_ops=sum(node.work.elementwise for node in module.nodes),
        param_bytes_deployed=sum(node.param_bytes for node in module.nodes),
        live_bytes=max(module.live, default=0),
    )


def _uncounted(name: str, module: _Module) -> list[Uncounted]:
    """Products of two activations and elementwise multiplications; and what weights do beyond the rule."""
    missed: dict[str, int] = defaultdict(int)
    weights, weight_ops = 0, set()
    for node, weighted in zip(module.nodes, module.weighted, strict=True):
        if weighted and (node.work.macs or "norm" in node.op):
            weights += node.work.macs + node.work.multiplies
            weight_ops.add(node.op)
        else:
            missed["products" if node.work.macs else "elementwise"] += node.work.macs + node.work.multiplies
    kinds = {
        "products": "products of activations",
        "elementwise": "elementwise multiplications",
        "weights": f"work beyond the rule ({', '.join(sorted(weight_ops))})",
    }
    missed["weights"] = weights - module.macs
    return [
        Uncounted(name or _ROOT, f"{module.kind}: {kinds[which]}", macs)
        for which, macs in missed.items()
        if macs > 0
    ]
