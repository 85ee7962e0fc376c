"""Who makes and who reads each tensor of an ONNX graph, and which tensors are constants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any


class Dataflow:
    """Edges of a graph; what depends on constants alone is a constant, as a runtime folds it at load.

    Attributes:
        nodes: those that depend on an input of the network, in order.
        producer: the node that writes each activation.
        readers: the nodes that read each tensor.
        outputs: names of the outputs of the network.
        origins: for every constant, the stored tensors that it is computed from.
        cast: names of the constants that a Cast reads: data of another type, such as integer weights.
    """

    def __init__(self, graph: Any, idle: Iterable[Any] = ()) -> None:
        """Read a graph.

        Args:
            graph: an ``onnx.GraphProto``.
            idle: nodes outside the graph whose constants count all the same.
        """
        self.nodes: list[Any] = []
        self.producer: dict[str, Any] = {}
        self.readers: dict[str, list[Any]] = defaultdict(list)
        self.outputs = {value.name for value in graph.output}
        self.origins: dict[str, frozenset[str]] = {t.name: frozenset({t.name}) for t in graph.initializer}
        self.cast: set[str] = set()
        for node in graph.node:
            self._add(node)
        for node in idle:
            if self._is_constant(node):
                self._add_constant(node)

    def _add(self, node: Any) -> None:
        if self._is_constant(node):
            self._add_constant(node)
            return
        self.nodes.append(node)
        self.producer |= dict.fromkeys(node.output, node)
        for name in filter(None, node.input):
            self.readers[name].append(node)

    def _is_constant(self, node: Any) -> bool:
        fixed = node.op_type in ("Shape", "Size")  # all shapes are fixed
        return fixed or all(name in self.origins for name in node.input if name)

    def _add_constant(self, node: Any) -> None:
        made: frozenset[str] = frozenset()
        if node.op_type == "Cast":
            self.cast.add(node.input[0])
        if node.op_type == "Constant":
            made = frozenset(node.output)
        elif node.op_type not in ("Shape", "Size"):
            made = made.union(*(self.origins[name] for name in node.input if name))
        self.origins |= dict.fromkeys(node.output, made)

    def is_made_by(self, tensor: str, op: str) -> bool:
        """Whether an operator of that type writes the tensor."""
        return tensor in self.producer and self.producer[tensor].op_type == op

    def is_activation(self, tensor: str) -> bool:
        """Whether a tensor depends on an input of the network."""
        return bool(tensor) and tensor not in self.origins
