"""Where GRN, attention and every other functional operation is counted: work that the rule reads as zero.

The rule counts modules with weights (`complexity.counters.torchinfo_count`). What a ``forward`` calls as
a function counts zero there: the multiplications of GRN and ResNorm, products of two activations as in
attention, scaling, pooling. All of it is executed, so the counters of executed operations (`torch_trace`,
`onnx_graph.count` and `tflite_file` in `complexity.counters`) include it, and the difference is listed
here as ``Report.uncounted``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from complexity.operations import Graph, Node
    from complexity.report.layers import ModuleWork

ROOT = "(root)"  # stands for the path of the network itself, which is empty


@dataclass(frozen=True)
class Uncounted:
    """Work that the rule reads as zero.

    Attributes:
        name: of the node or module.
        kind: operators that do it.
        macs: multiplications, with or without an addition, that the rule misses.
    """

    name: str
    kind: str
    macs: int


def uncounted_in_graph(graph: Graph) -> tuple[Uncounted, ...]:
    """Operations of a file that multiply more often than the rule's formula for them says."""
    missed = ((node, node.work.macs + node.work.multiplies - node.work.official) for node in graph.nodes)
    return tuple(Uncounted(node.name, node.op, macs) for node, macs in missed if macs > 0)


def uncounted_in_module(modules: Mapping[str, ModuleWork]) -> tuple[Uncounted, ...]:
    """The same for a traced network, by module path."""
    return tuple(item for name, module in modules.items() for item in _of_module(name, module))


def _of_module(name: str, module: ModuleWork) -> Iterable[Uncounted]:
    """Products of two activations, elementwise multiplications, and what weights do beyond the rule."""
    missed: dict[str, int] = defaultdict(int)
    weights, weight_ops = 0, set()
    for node, weighted in zip(module.nodes, module.weighted, strict=True):
        multiplications = _multiplications(node)
        if weighted and (node.work.macs or "norm" in node.op):
            weights += multiplications
            weight_ops.add(node.op)
        else:
            missed["products" if node.work.macs else "elementwise"] += multiplications
    kinds = {
        "products": "products of activations",
        "elementwise": "elementwise multiplications",
        "weights": f"work beyond the rule ({', '.join(sorted(weight_ops))})",
    }
    missed["weights"] = weights - module.macs
    return [
        Uncounted(name or ROOT, f"{module.kind}: {kinds[which]}", macs)
        for which, macs in missed.items()
        if macs > 0
    ]


def _multiplications(node: Node) -> int:
    return node.work.macs + node.work.multiplies
