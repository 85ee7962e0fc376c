"""Layers of a report: what the rule counts beside what is executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from complexity.activation_memory import live_bytes
from complexity.counters.torch_trace import Trace
from complexity.counters.torchinfo_count import OfficialLayer
from complexity.counters.uncounted_operations import ROOT
from complexity.operations import Graph, Node
from complexity.report.report import Layer

if TYPE_CHECKING:
    from torch import nn


def layers_of_graph(graph: Graph, *, by_rule: bool) -> tuple[Layer, ...]:
    """One layer per operation.

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


@dataclass
class ModuleWork:
    """One module path of a network: torchinfo's counts and the operations traced in it.

    Attributes:
        kind: class of the module.
        output_shape: at batch 1.
        params: by the rule.
        macs: by the rule.
        nodes: the operations that it executes.
        weighted: for every node, whether a parameter takes part.
        live: for every node, bytes of the activations that live meanwhile.
    """

    kind: str
    output_shape: tuple[int, ...] = ()
    params: int = 0
    macs: int = 0
    nodes: list[Node] = field(default_factory=list)
    weighted: list[bool] = field(default_factory=list)
    live: list[int] = field(default_factory=list)


def modules_of(model: nn.Module, official: Sequence[OfficialLayer], trace: Trace) -> dict[str, ModuleWork]:
    """Join torchinfo's layers with the trace of the same network, by module path.

    A module that is called more than once has one entry with the sums. What is executed inside a leaf of
    torchinfo belongs to that leaf.
    """
    modules: dict[str, ModuleWork] = {}
    for layer in official:
        module = modules.setdefault(layer.name, ModuleWork(layer.kind, layer.output_shape))
        module.params += layer.params
        module.macs += layer.macs
    leaves = {layer.name for layer in official if layer.leaf}
    live = live_bytes(trace.graph)
    for node, weighted, alive in zip(trace.graph.nodes, trace.weighted, live, strict=True):
        owner = _owner(node.name, leaves)
        if owner not in modules:
            modules[owner] = ModuleWork(type(model.get_submodule(owner)).__name__, node.output_shape)
        modules[owner].nodes.append(node)
        modules[owner].weighted.append(weighted)
        modules[owner].live.append(alive)
    return modules


def layers_of_module(modules: Mapping[str, ModuleWork]) -> tuple[Layer, ...]:
    """One layer per module path, see `modules_of`."""
    return tuple(
        Layer(
            name=name or ROOT,
            kind=module.kind,
            output_shape=module.output_shape,
            params=module.params,
            macs=module.macs,
            macs_deployed=sum(node.work.macs for node in module.nodes),
            elementwise_ops=sum(node.work.elementwise for node in module.nodes),
            param_bytes_deployed=sum(node.param_bytes for node in module.nodes),
            live_bytes=max(module.live, default=0),
        )
        for name, module in modules.items()
    )


def _owner(path: str, leaves: set[str]) -> str:
    """The leaf of torchinfo that a module lies in, or the module itself."""
    parts = path.split(".") if path else []
    prefixes = [".".join(parts[:length]) for length in range(len(parts) + 1)]
    return next((prefix for prefix in prefixes if prefix in leaves), path)
