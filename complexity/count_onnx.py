"""The graph that ships: what a runtime executes, stores and holds in memory.

Operators between DequantizeLinear and QuantizeLinear are what ONNX Runtime executes on integers, so
those pairs fold away and the activations count one byte an element; where a pair does not fold, its
float tensor is real and counts as such. Batch norm counts as the graph has it: folded or not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Any, Literal

from complexity.graph import Graph, Node, Work
from complexity.onnx_file import ElementType, OnnxFile
from complexity.onnx_ops import COSTS, FUSED, IN_PLACE, INTEGER, STATISTICS, VIEWS, Operands
from runtime.door import require
from runtime.errors import ModelFileError

_INDEX_TYPES = ("int64", "bool")  # shapes, axes and masks: settings of the graph, not parameters


@dataclass(frozen=True)
class Stored:
    """What a graph stores.

    Attributes:
        params: elements of weights, biases, and scales and shifts of normalizations.
        bytes_by_dtype: bytes of those and of running statistics, by data type.
        weight_elements: elements of the operands of convolutions, products and recurrences, by the
            bytes of one element.
        quantization_bytes: scales and zero points.
    """

    params: int
    bytes_by_dtype: dict[str, int]
    weight_elements: dict[float, int]
    quantization_bytes: int


def count_graph(file: OnnxFile) -> tuple[Graph, Stored]:
    """Turn a graph into operations, with QDQ pairs folded, and list what it stores.

    Raises:
        ModelFileError: where a shape cannot be told or a batch is built into the graph.
    """
    reader = _Reader(file)
    nodes = tuple(node for proto in reader.wires.nodes for node in reader.read(proto))
    inputs = tuple(v.name for v in file.proto.graph.input if v.name not in reader.wires.origins)
    for name in inputs:
        reader.hold(name, file.types[name])
    outputs = tuple(reader.stands_for(v.name) for v in file.proto.graph.output)
    graph = Graph(nodes, reader.sizes, inputs, tuple(t for t in outputs if t in reader.sizes))
    return graph, reader.stored()


class _Wires:
    """Who makes and who reads each tensor; constants folded as a runtime folds them at load."""

    def __init__(self, graph: Any) -> None:
        self.nodes: list[Any] = []  # those that depend on the input of the network
        self.producer: dict[str, Any] = {}
        self.readers: dict[str, list[Any]] = defaultdict(list)
        self.outputs = {value.name for value in graph.output}
        # every constant and the stored tensors that it is computed from
        self.origins: dict[str, frozenset[str]] = {t.name: frozenset({t.name}) for t in graph.initializer}
        for node in graph.node:
            self._add(node)

    def _add(self, node: Any) -> None:
        inputs = [name for name in node.input if name]
        if node.op_type in ("Shape", "Size"):  # all shapes are fixed
            self.origins |= dict.fromkeys(node.output, frozenset())
        elif all(name in self.origins for name in inputs):
            made = frozenset(node.output) if node.op_type == "Constant" else frozenset()
            self.origins |= dict.fromkeys(node.output, made.union(*(self.origins[name] for name in inputs)))
        else:
            self.nodes.append(node)
            self.producer |= dict.fromkeys(node.output, node)
            for name in inputs:
                self.readers[name].append(node)

    def made_by(self, tensor: str, op: str) -> bool:
        return tensor in self.producer and self.producer[tensor].op_type == op


@dataclass
class _Reader:
    file: OnnxFile
    sizes: dict[str, int] = field(default_factory=dict)
    _integer: set[str] = field(default_factory=set)  # outputs of nodes that are executed on integers
    _alias: dict[str, str] = field(default_factory=dict)  # outputs of folded Q and DQ nodes
    _seen: set[str] = field(default_factory=set)
    _params: int = 0
    _bytes: Counter[str] = field(default_factory=Counter)
    _weights: Counter[float] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.wires = _Wires(self.file.proto.graph)
        for node in self.wires.nodes:
            if self._is_integer(node):
                self._integer.update(node.output)

    def read(self, proto: Any) -> list[Node]:
        """The operation of a node; none where it folds into its neighbours."""
        if self._folds(proto):
            self._alias[proto.output[0]] = self.stands_for(proto.input[0])
            return []
        integer = proto.output[0] in self._integer
        work = COSTS[proto.op_type](self._operands(proto))
        params, param_bytes = self._store(proto, work)
        for name in filter(None, proto.output):
            self.hold(name, self._integer_type(name) if integer else self.file.types[name])
        return [
            Node(
                name=proto.name or proto.output[0],
                op=self._label(proto),
                inputs=tuple(self._reads(name, integer) for name in proto.input if self._is_activation(name)),
                outputs=tuple(filter(None, proto.output)),
                output_shape=self.file.shapes[proto.output[0]],
                work=work,
                params=params,
                param_bytes=param_bytes,
                reuse=self._reuse(proto),
            )
        ]

    def hold(self, tensor: str, element: ElementType) -> None:
        """Note the bytes of an activation."""
        self.sizes[tensor] = ceil(prod(self._shape(tensor)) * element.bytes)

    def stands_for(self, tensor: str) -> str:
        """The activation itself, or what a folded Q or DQ node passes on."""
        return self._alias.get(tensor, tensor)

    def stored(self) -> Stored:
        """What the nodes read so far have stored."""
        constants = [name for name in self.file.scales if name in self.wires.origins]
        quantization = sum(ceil(prod(self._shape(n)) * self.file.types[n].bytes) for n in constants)
        return Stored(self._params, dict(self._bytes), dict(self._weights), quantization)

    def _label(self, node: Any) -> str:
        quantized = self.file.types[node.output[0]].name in ("int8", "uint8")
        integer = node.output[0] in self._integer or (quantized and node.op_type != "QuantizeLinear")
        return f"{node.op_type} (int8)" if integer else str(node.op_type)

    def _is_integer(self, node: Any) -> bool:
        """Whether integers go in, integers come out, and ONNX Runtime has a kernel for it."""
        return (
            node.op_type in INTEGER
            and all(self._integer_type(name) is not None for name in node.output if name)
            and all(
                name in self._integer or self.wires.made_by(name, "DequantizeLinear")
                for name in node.input
                if self._is_activation(name)
            )
        )

    def _integer_type(self, tensor: str) -> Any:
        """The data type that a tensor is quantized to, at once or behind an activation; or None."""
        readers = self.wires.readers[tensor]
        if not readers or tensor in self.wires.outputs:
            return None
        if all(reader.op_type == "QuantizeLinear" for reader in readers):
            return self.file.types[readers[0].output[0]]
        if len(readers) == 1 and readers[0].op_type in FUSED:
            return self._integer_type(readers[0].output[0])
        return None

    def _folds(self, node: Any) -> bool:
        if node.op_type == "QuantizeLinear":
            return node.input[0] in self._integer
        if node.op_type == "DequantizeLinear":
            readers = self.wires.readers[node.output[0]]
            integer = all(reader.output[0] in self._integer for reader in readers)
            return integer and node.output[0] not in self.wires.outputs
        return False

    def _reads(self, tensor: str, integer: bool) -> str:
        if integer and self.wires.made_by(tensor, "DequantizeLinear"):
            return self.stands_for(self.wires.producer[tensor].input[0])
        return self.stands_for(tensor)

    def _is_activation(self, tensor: str) -> bool:
        return bool(tensor) and tensor not in self.wires.origins

    def _operands(self, node: Any) -> Operands:
        helper = require("onnx.helper", extra="complexity")
        return Operands(
            inputs=[self._shape(name) if name else None for name in node.input],
            outputs=[self._shape(name) for name in node.output if name],
            constant=[name in self.wires.origins for name in node.input],
            attributes={a.name: helper.get_attribute_value(a) for a in node.attribute},
        )

    def _shape(self, tensor: str) -> tuple[int, ...]:
        if tensor not in self.file.shapes:
            raise ModelFileError(
                f"The shape of '{tensor}' in {self.file.path} cannot be told from the graph: give the "
                "input's with --input-shape, or export it again with fixed shapes."
            )
        return self.file.shapes[tensor]

    def _store(self, node: Any, work: Work) -> tuple[int, int]:
        """Note parameters that nobody before this node used; return their elements and bytes."""
        params = total_bytes = 0
        for position, operand in enumerate(node.input):
            for name in self.wires.origins.get(operand, frozenset()) - self._seen - self.file.scales:
                element = self.file.types[name]
                if element.name in _INDEX_TYPES:
                    continue
                self._seen.add(name)
                elements = prod(self._shape(name))
                stored_bytes = ceil(elements * element.bytes)
                self._bytes[element.name] += stored_bytes
                total_bytes += stored_bytes
                if position not in STATISTICS.get(node.op_type, ()):
                    params += elements
                if work.macs and len(self._shape(name)) > 1:
                    self._weights[element.bytes] += elements
        self._params += params
        return params, total_bytes

    def _reuse(self, node: Any) -> Literal["none", "view", "in_place"]:
        if node.op_type in VIEWS and self._is_activation(node.input[0]):
            self._check_batch(node)
            return "view"
        return "in_place" if node.op_type in IN_PLACE else "none"

    def _check_batch(self, node: Any) -> None:
        if prod(self._shape(node.input[0])) != prod(self._shape(node.output[0])):
            raise ModelFileError(
                f"A batch other than 1 is built into {self.file.path} (at '{node.name or node.output[0]}'): "
                "export it with a batch of 1."
            )
