"""``If`` in an ONNX graph: one branch is executed, the parameters of both are stored.

Where the condition is a constant (exporters test shapes with If), its branch takes the place of the node.
Otherwise the costlier branch does, so that the count is an upper limit, and a note says so where the
branches differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from complexity.counters.onnx_graph.dataflow import Dataflow
from complexity.counters.onnx_graph.file import OnnxFile
from complexity.operations import Work
from runtime.entry_point import require
from runtime.errors import ModelFileError

CostOf = Callable[[OnnxFile, Dataflow, Any], Work]
_BRANCHES = ("then_branch", "else_branch")


@dataclass(frozen=True)
class _Variant:
    """A file with one branch in the place of an If.

    Attributes:
        branch: name of the branch.
        file: with the nodes of the branch in its graph.
        names: the outputs of those nodes.
        cost: MACs and elementwise operations of the branch.
    """

    branch: str
    file: OnnxFile
    names: frozenset[str]
    cost: tuple[int, int]


def resolve_branches(file: OnnxFile, cost_of: CostOf) -> tuple[OnnxFile, list[str]]:
    """Replace every If by one of its branches.

    Args:
        file: a graph that may hold If.
        cost_of: work of one node.

    Returns:
        The file without If, and one sentence for each If whose branches cost differently.

    Raises:
        ModelFileError: where no branch of an If takes the input shape.
    """
    notes: list[str] = []
    while conditions := [node for node in file.proto.graph.node if node.op_type == "If"]:
        chosen, more = _resolve(file, conditions[0], cost_of)
        file, notes = chosen.file, notes + more
    return file, notes


def _resolve(file: OnnxFile, node: Any, cost_of: CostOf) -> tuple[_Variant, list[str]]:
    """Replace one If, and those inside its branches."""
    condition = file.inferred.values.get(node.input[0])
    if condition is not None:
        branch = _BRANCHES[0 if bool(condition.all()) else 1]
        return _try_branch(file, node, branch, cost_of, idle=False)
    variants: list[tuple[_Variant, list[str]]] = []
    refusals: list[ModelFileError] = []
    for branch in _BRANCHES:
        try:
            variants.append(_try_branch(file, node, branch, cost_of, idle=True))
        except ModelFileError as error:  # this branch is for another input shape; the other one may fit
            refusals.append(error)
    if not variants:
        raise refusals[0]
    chosen, notes = max(variants, key=lambda pair: pair[0].cost)
    name = node.name or next(filter(None, node.output))
    if refusals:
        return chosen, [*notes, f"Of If '{name}', only {chosen.branch} can be counted with this input shape."]
    if variants[0][0].cost != variants[1][0].cost:
        costs = " and ".join(
            f"{v.branch} {v.cost[0]:,} MACs, {v.cost[1]:,} elementwise operations" for v, _ in variants
        )
        notes = [*notes, f"Of If '{name}', the costlier branch counts ({costs})."]
    return chosen, notes


def _try_branch(
    file: OnnxFile, node: Any, branch: str, cost_of: CostOf, *, idle: bool
) -> tuple[_Variant, list[str]]:
    """The file with one branch in the place of an If, and with no If inside that branch."""
    variant, names = _inline(file, node, branch, idle=idle)
    notes: list[str] = []
    while inner := [n for n in variant.proto.graph.node if n.op_type == "If" and names & set(n.output)]:
        chosen, more = _resolve(variant, inner[0], cost_of)
        variant, names, notes = chosen.file, names | chosen.names, notes + more
    return _Variant(branch, variant, names, _cost(variant, names, cost_of)), notes


def _cost(file: OnnxFile, names: frozenset[str], cost_of: CostOf) -> tuple[int, int]:
    dataflow = Dataflow(file.proto.graph)
    works = [cost_of(file, dataflow, node) for node in dataflow.nodes if names.intersection(node.output)]
    return sum(work.macs for work in works), sum(work.elementwise for work in works)


def _inline(file: OnnxFile, node: Any, branch: str, *, idle: bool) -> tuple[OnnxFile, frozenset[str]]:
    """Put a branch in the place of its If.

    Args:
        file: the graph, which stays as it is.
        node: the If.
        branch: which one.
        idle: keep the other branch as nodes that are not executed.

    Returns:
        The new file, and the outputs of all nodes that came from the branch.
    """
    proto = type(file.proto)()
    proto.CopyFrom(file.proto)
    position = next(i for i, n in enumerate(proto.graph.node) if n.output == node.output)
    before, after = list(proto.graph.node)[:position], list(proto.graph.node)[position + 1 :]
    inner = _body(proto, node, branch)
    helper = require("onnx.helper", extra="complexity")
    passed = [
        helper.make_node("Identity", [value.name], [name], name=name)
        for value, name in zip(inner.output, node.output, strict=True)
        if name
    ]
    nodes = [*inner.node, *passed]
    names = frozenset(name for made in nodes for name in made.output if name)
    unused: tuple[Any, ...] = file.idle
    if idle:
        other = _body(proto, node, _BRANCHES[1 - _BRANCHES.index(branch)])
        unused = (*unused, *_flatten(proto, other))
    del proto.graph.node[:]
    proto.graph.node.extend([*before, *nodes, *after])
    return file.replace_graph(proto, unused), names


def _flatten(proto: Any, graph: Any) -> list[Any]:
    """All nodes of a branch that is not executed, those of branches inside it too."""
    nodes = []
    for node in graph.node:
        if node.op_type == "If":
            nodes += [n for branch in _BRANCHES for n in _flatten(proto, _body(proto, node, branch))]
        else:
            nodes.append(node)
    return nodes


def _body(proto: Any, node: Any, branch: str) -> Any:
    """A copy of a branch, its stored tensors moved into the main graph, under names that are free."""
    original = next(attribute.g for attribute in node.attribute if attribute.name == branch)
    body = type(original)()
    body.CopyFrom(original)
    own = [t.name for t in body.initializer] + [name for n in body.node for name in n.output if name]
    prefix = f"{node.name or next(filter(None, node.output))}/{branch}/"
    new_names = {name: prefix + name for name in own}
    _rename(body, new_names)
    proto.graph.initializer.extend(body.initializer)
    return body


def _rename(graph: Any, new_names: dict[str, str]) -> None:
    for tensor in graph.initializer:
        tensor.name = new_names.get(tensor.name, tensor.name)
    for value in graph.output:
        value.name = new_names.get(value.name, value.name)
    for node in graph.node:
        for names in (node.input, node.output):
            renamed = [new_names.get(name, name) for name in names]
            del names[:]
            names.extend(renamed)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, new_names)
