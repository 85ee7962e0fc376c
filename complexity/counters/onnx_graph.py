"""The graph that ships: what a runtime executes, stores and holds in memory.

Operators between DequantizeLinear and QuantizeLinear are what ONNX Runtime executes on integers, so
those pairs fold away and the activations count one byte an element; where a pair does not fold, its
float tensor is real and counts as such. Batch norm counts as the graph has it: folded or not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from math import ceil, prod
from typing import Any, Literal

from complexity.counters.onnx_file import OnnxFile
from complexity.counters.onnx_operators import COSTS, FUSED, IN_PLACE, INTEGER, STATISTICS, VIEWS, Operands
from complexity.operations import Graph, Node, Work
from runtime.entry_point import require
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
    wires = _Wires(file.proto.graph)
    reader, storage = _Reader(file, wires), _Storage(file, wires)
    nodes = tuple(reader.read(node, storage) for node in wires.nodes if not reader.fold(node))
    inputs = tuple(v.name for v in file.proto.graph.input if v.name not in wires.origins)
    sizes = reader.sizes | {name: file.bytes(name) for name in inputs}
    outputs = (reader.stands_for(v.name) for v in file.proto.graph.output)
    return Graph(nodes, sizes, inputs, tuple(t for t in outputs if t in sizes)), storage.total()


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

    def is_activation(self, tensor: str) -> bool:
        return bool(tensor) and tensor not in self.origins


class _Storage:
    """Adds up the parameters that nodes read, each once."""

    def __init__(self, file: OnnxFile, wires: _Wires) -> None:
        self._file, self._wires = file, wires
        self._seen: set[str] = set(file.scales)
        self._params = 0
        self._bytes: Counter[str] = Counter()
        self._weights: Counter[float] = Counter()

    def take(self, node: Any, work: Work) -> tuple[int, int]:
        """Elements and bytes of the parameters that this node is the first to read."""
        params = total_bytes = 0
        for position, operand in enumerate(node.input):
            for name in self._wires.origins.get(operand, frozenset()) - self._seen:
                element, shape = self._file.type(name), self._file.shape(name)
                if element.name in _INDEX_TYPES:
                    continue
                self._seen.add(name)
                self._bytes[element.name] += self._file.bytes(name)
                total_bytes += self._file.bytes(name)
                if position not in STATISTICS.get(node.op_type, ()):
                    params += prod(shape)
                if work.macs and len(shape) > 1:
                    self._weights[element.bytes] += prod(shape)
        self._params += params
        return params, total_bytes

    def total(self) -> Stored:
        quantization = sum(self._file.bytes(n) for n in self._file.scales if n in self._wires.origins)
        return Stored(self._params, dict(self._bytes), dict(self._weights), quantization)


class _Reader:
    """Reads nodes one by one; knows which of them are executed on integers."""

    def __init__(self, file: OnnxFile, wires: _Wires) -> None:
        self._file, self._wires = file, wires
        self.sizes: dict[str, int] = {}
        self._alias: dict[str, str] = {}  # outputs of folded Q and DQ nodes
        self._integer: set[str] = set()  # outputs of nodes that are executed on integers
        for node in wires.nodes:
            if self._is_integer(node):
                self._integer.update(node.output)

    def fold(self, node: Any) -> bool:
        """Fold a Q or DQ node into its neighbours; False where it stays, as every other node does."""
        folds = False
        if node.op_type == "QuantizeLinear":
            folds = node.input[0] in self._integer
        elif node.op_type == "DequantizeLinear" and node.output[0] not in self._wires.outputs:
            readers = self._wires.readers[node.output[0]]
            folds = all(reader.output[0] in self._integer for reader in readers)
        if folds:
            self._alias[node.output[0]] = self.stands_for(node.input[0])
        return folds

    def stands_for(self, tensor: str) -> str:
        """The activation itself, or what a folded Q or DQ node passes on."""
        return self._alias.get(tensor, tensor)

    def read(self, node: Any, storage: _Storage) -> Node:
        """The operation of a node."""
        integer = node.output[0] in self._integer
        outputs = tuple(filter(None, node.output))
        for name in outputs:
            element = self._integer_type(name) if integer else self._file.type(name)
            self.sizes[name] = ceil(prod(self._file.shape(name)) * element.bytes)
        work = self._work(node)
        params, param_bytes = storage.take(node, work)
        return Node(
            name=node.name or node.output[0],
            op=self._label(node),
            inputs=tuple(
                self._reads(name, integer) for name in node.input if self._wires.is_activation(name)
            ),
            outputs=outputs,
            output_shape=self._file.shape(node.output[0]),
            work=work,
            params=params,
            param_bytes=param_bytes,
            reuse=self._reuse(node),
        )

    def _label(self, node: Any) -> str:
        quantized = self._file.type(node.output[0]).name in ("int8", "uint8")
        integer = node.output[0] in self._integer or (quantized and node.op_type != "QuantizeLinear")
        return f"{node.op_type} (int8)" if integer else str(node.op_type)

    def _is_integer(self, node: Any) -> bool:
        """Whether integers go in, integers come out, and ONNX Runtime has a kernel for it."""
        return (
            node.op_type in INTEGER
            and all(self._integer_type(name) is not None for name in node.output if name)
            and all(
                name in self._integer or self._wires.made_by(name, "DequantizeLinear")
                for name in node.input
                if self._wires.is_activation(name)
            )
        )

    def _integer_type(self, tensor: str) -> Any:
        """The data type that a tensor is quantized to, at once or behind an activation; or None."""
        readers = self._wires.readers[tensor]
        if not readers or tensor in self._wires.outputs:
            return None
        if all(reader.op_type == "QuantizeLinear" for reader in readers):
            return self._file.type(readers[0].output[0])
        if len(readers) == 1 and readers[0].op_type in FUSED:
            return self._integer_type(readers[0].output[0])
        return None

    def _reads(self, tensor: str, integer: bool) -> str:
        if integer and self._wires.made_by(tensor, "DequantizeLinear"):
            return self.stands_for(self._wires.producer[tensor].input[0])
        return self.stands_for(tensor)

    def _work(self, node: Any) -> Work:
        helper = require("onnx.helper", extra="complexity")
        operands = Operands(
            inputs=[self._file.shape(name) if name else None for name in node.input],
            outputs=[self._file.shape(name) for name in node.output if name],
            constant=[name in self._wires.origins for name in node.input],
            attributes={a.name: helper.get_attribute_value(a) for a in node.attribute},
        )
        try:
            return COSTS[node.op_type](operands)
        except (LookupError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
            raise ModelFileError(
                f"The operator {node.op_type} ('{node.name}') in {self._file.path} is used in a way whose "
                "cost is unknown here: replace it, or ask for it in an issue."
            ) from error

    def _reuse(self, node: Any) -> Literal["none", "view", "in_place"]:
        if node.op_type in VIEWS and self._wires.is_activation(node.input[0]):
            self._check_batch(node)
            return "view"
        return "in_place" if node.op_type in IN_PLACE else "none"

    def _check_batch(self, node: Any) -> None:
        if prod(self._file.shape(node.input[0])) != prod(self._file.shape(node.output[0])):
            raise ModelFileError(
                f"A batch other than 1 is built into {self._file.path} (at '{node.name or node.output[0]}'): "
                "export it with a batch of 1."
            )
