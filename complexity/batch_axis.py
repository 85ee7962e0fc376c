"""Whether the first axis of an input is a batch, by the evidence of two counts of one network.

Along a batch a network does the same again: at twice the size every operation either writes and computes
twice as much, or as much as before; no window, recurrence or sum goes along the axis; and the first axis of
an output grows with it. Audio networks are also written without a batch (a waveform, frames of features, a
recurrence with the time first), and cutting such an axis to 1 would count one step as the clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import prod

from complexity.operations import Graph, Node


class Axis(Enum):
    """What the first axis of an input is."""

    BATCH = "a batch"
    CLIP = "a part of the clip"
    UNKNOWN = "either"


@dataclass(frozen=True)
class Run:
    """A count of a network at one size of its input.

    Attributes:
        graph: the operations.
        outputs: shapes of the outputs of the network.
    """

    graph: Graph
    outputs: tuple[tuple[int, ...], ...]

    def keeps(self, size: int) -> bool:
        """Whether the first axis of an output has this size."""
        return any(shape and shape[0] == size for shape in self.outputs)


def compare_sizes(small: Run, large: Run, ratio: int) -> Axis:
    """What the first axis is, of counts at two sizes of it.

    Args:
        small: the count at one size.
        large: the count at ``ratio`` times that size.
        ratio: above 1.
    """
    pairs = list(zip(small.graph.nodes, large.graph.nodes, strict=False))
    if any(one.op == many.op and one.along != many.along for one, many in pairs):
        return Axis.CLIP
    grown = any(
        one and many and one[0] * ratio == many[0]
        for one, many in zip(small.outputs, large.outputs, strict=True)
    )
    if not grown:
        return Axis.CLIP
    same_nodes = len(small.graph.nodes) == len(large.graph.nodes)
    repeats = same_nodes and all(_repeats(one, many, ratio) for one, many in pairs)
    return Axis.BATCH if repeats else Axis.UNKNOWN


def _repeats(one: Node, many: Node, ratio: int) -> bool:
    """Whether an operation does the same ``ratio`` times, or is the same."""
    times = ratio if one.output_shape != many.output_shape else 1
    return (
        one.op == many.op
        and prod(one.output_shape) * times == prod(many.output_shape)
        and one.work.macs * times == many.work.macs
        and one.work.elementwise * times == many.work.elementwise
    )
