"""A network as the operations that are executed, in their order: the common ground of all readers.

An ONNX graph, a TFLite graph and a traced ``nn.Module`` all become a `Graph`; sums, the peak of the
activations and what a rule leaves out are computed here once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


def words(names: str) -> frozenset[str]:
    """The set of names in a text; long tables of operators read better without quotes."""
    return frozenset(names.split())


@dataclass(frozen=True)
class Work:
    """Arithmetic of one operation at batch 1.

    Attributes:
        macs: multiply-accumulates of convolutions, matrix products and recurrences.
        elementwise: every other arithmetic operation: elementwise, pooling, reduction, normalization.
        multiplies: how many of those are multiplications or divisions; with an addition or without,
            each of them costs one MAC.
        official: what the challenges' rule counts for it.
    """

    macs: int = 0
    elementwise: int = 0
    multiplies: int = 0
    official: int = 0


@dataclass(frozen=True)
class Node:
    """One executed operation.

    Attributes:
        name: of the node, or path of the module that executes it.
        op: operator.
        inputs: activations that it reads.
        outputs: activations that it writes.
        output_shape: of the first output.
        work: its arithmetic.
        params: elements of the parameters that nobody before it used.
        param_bytes: their bytes as stored.
        reuse: ``view`` writes nothing, ``in_place`` may write over an input that nobody else needs.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    output_shape: tuple[int, ...]
    work: Work = Work()
    params: int = 0
    param_bytes: int = 0
    reuse: Literal["none", "view", "in_place"] = "none"


@dataclass(frozen=True)
class Graph:
    """Operations in execution order.

    Attributes:
        nodes: the operations.
        sizes: bytes of every activation.
        inputs: activations that are given from outside; they are never written over.
        outputs: activations that live to the end.

    Raises:
        ValueError: where an operation reads what nobody before it wrote.
    """

    nodes: tuple[Node, ...]
    sizes: dict[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        known = set(self.inputs)
        for node in self.nodes:
            if not known.issuperset(node.inputs):
                raise ValueError(f"'{node.name}' reads what is not yet written.")
            known.update(node.outputs)


@dataclass(frozen=True)
class Peak:
    """The moment when most bytes of activations live at the same time.

    Attributes:
        bytes: their sum.
        node: name of the operation that is executing.
        tensors: name and bytes of each, largest first.
    """

    bytes: int
    node: str
    tensors: tuple[tuple[str, int], ...]


@dataclass
class _Buffer:
    """Memory that one activation, its views and what is written over them share."""

    name: str
    size: int
    born: int
    dies: int
    fixed: bool = False


def find_peak(graph: Graph) -> Peak:
    """Lay activations into buffers in execution order and find the fullest moment.

    While an operation executes, its inputs and outputs live. A buffer lives from the operation that
    first writes it to the last one that reads it. Scratch memory inside an operation is not counted.
    """
    moments = _moments(graph)
    if not moments:
        return Peak(0, "", ())
    fullest = max(moments, key=_total)
    tensors = sorted(((b.name, b.size) for b in fullest), key=lambda t: -t[1])
    return Peak(_total(fullest), graph.nodes[moments.index(fullest)].name, tuple(tensors))


def live_bytes(graph: Graph) -> list[int]:
    """Bytes of the activations that live while each operation executes."""
    return [_total(live) for live in _moments(graph)]


def _moments(graph: Graph) -> list[list[_Buffer]]:
    buffers = _lay_out(graph)
    return [[b for b in buffers if b.born <= step <= b.dies] for step in range(len(graph.nodes))]


def _total(live: list[_Buffer]) -> int:
    return sum(buffer.size for buffer in live)


def _lay_out(graph: Graph) -> list[_Buffer]:
    last_read = _last_reads(graph)
    buffers: list[_Buffer] = []
    home: dict[str, _Buffer] = {}

    def settle(tensor: str, buffer: _Buffer, step: int) -> None:
        home[tensor] = buffer
        buffer.dies = max(buffer.dies, last_read.get(tensor, step))

    def allocate(tensor: str, step: int, *, fixed: bool = False) -> None:
        buffers.append(_Buffer(tensor, graph.sizes[tensor], step, step, fixed))
        settle(tensor, buffers[-1], step)

    for tensor in graph.inputs:
        allocate(tensor, 0, fixed=True)
    for step, node in enumerate(graph.nodes):
        reusable = _reusable(node, step, [home[t] for t in node.inputs], graph.sizes)
        for position, tensor in enumerate(node.outputs):
            if reusable and position == 0:
                settle(tensor, reusable, step)
            else:
                allocate(tensor, step)
    return buffers


def _last_reads(graph: Graph) -> dict[str, int]:
    reads = {t: step for step, node in enumerate(graph.nodes) for t in node.inputs}
    return reads | dict.fromkeys(graph.outputs, len(graph.nodes))


def _reusable(node: Node, step: int, homes: list[_Buffer], sizes: dict[str, int]) -> _Buffer | None:
    """The input buffer that the first output takes over, if there is one."""
    if node.reuse == "view":
        return homes[0]
    if node.reuse == "in_place" and node.outputs:
        for buffer in homes:
            if buffer.dies == step and buffer.size == sizes[node.outputs[0]] and not buffer.fixed:
                return buffer
    return None
