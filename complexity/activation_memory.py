"""How many bytes of activations live at the same time while a network runs."""

from __future__ import annotations

from dataclasses import dataclass

from complexity.operations import Graph, Node


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
    """Place activations in buffers in execution order and find the moment with the most bytes.

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
    buffer_of: dict[str, _Buffer] = {}

    def place(tensor: str, buffer: _Buffer, step: int) -> None:
        buffer_of[tensor] = buffer
        buffer.dies = max(buffer.dies, last_read.get(tensor, step))

    def allocate(tensor: str, step: int, *, fixed: bool = False) -> None:
        buffers.append(_Buffer(tensor, graph.sizes[tensor], step, step, fixed))
        place(tensor, buffers[-1], step)

    for tensor in graph.inputs:
        allocate(tensor, 0, fixed=True)
    for step, node in enumerate(graph.nodes):
        reusable = _reusable(node, step, [buffer_of[t] for t in node.inputs], graph.sizes)
        for position, tensor in enumerate(node.outputs):
            if reusable and position == 0:
                place(tensor, reusable, step)
            else:
                allocate(tensor, step)
    return buffers


def _last_reads(graph: Graph) -> dict[str, int]:
    reads = {t: step for step, node in enumerate(graph.nodes) for t in node.inputs}
    return reads | dict.fromkeys(graph.outputs, len(graph.nodes))


def _reusable(node: Node, step: int, candidates: list[_Buffer], sizes: dict[str, int]) -> _Buffer | None:
    """The input buffer that the first output takes over, if there is one."""
    if node.reuse == "view":
        return candidates[0]
    if node.reuse == "in_place" and node.outputs:
        for buffer in candidates:
            if buffer.dies == step and buffer.size == sizes[node.outputs[0]] and not buffer.fixed:
                return buffer
    return None
