"""A network as the operations that are executed, in their order.

An ONNX graph, a TFLite graph and a traced ``nn.Module`` all become a `Graph`, so that sums, the peak of the
activations (`complexity.activation_memory`) and what the official rule leaves out
(`complexity.counters.uncounted_operations`) are computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


def words(names: str) -> frozenset[str]:
    """The set of names in a text; long tables of operators read better without quotes."""
    return frozenset(names.split())


# operations and multiplications of one unit in one step of a recurrence, its matrix products aside. LSTM:
# four sums of both products, five activations, three products, a sum; GRU: three sums, three activations,
# a product, and three operations to blend; RNN: a sum and an activation.
STEP_OF_UNIT = {"LSTM": (13, 3), "GRU": (10, 2), "RNN": (2, 0)}


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
        params: elements of the parameters that no node before it reads.
        param_bytes: their bytes as stored.
        reuse: ``view`` writes nothing, ``in_place`` may write over an input that no other node needs.
        along: sizes of the axes that it moves along or normalizes over: those of a window, the steps of a
            recurrence. A batch is none of them.
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
    along: tuple[int, ...] = ()


@dataclass(frozen=True)
class Graph:
    """Operations in execution order.

    Attributes:
        nodes: the operations.
        sizes: bytes of every activation.
        inputs: inputs of the network; they are never written over.
        outputs: activations that live to the end.

    Raises:
        ValueError: where an operation reads what no operation before it wrote.
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
