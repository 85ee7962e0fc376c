"""The operations that a runtime executes for an ONNX file, what the file stores, and what memory it takes.

Operators between DequantizeLinear and QuantizeLinear are what ONNX Runtime executes on integers, so
those pairs fold away and the activations count one byte an element; where a pair does not fold, its
float tensor is real and counts as such. Batch norm counts as the graph has it: folded or not.
"""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any, Literal

from complexity.batch_axis import Axis, Run, compare_sizes
from complexity.counters.onnx_graph.branches import resolve_branches
from complexity.counters.onnx_graph.dataflow import Dataflow
from complexity.counters.onnx_graph.file import OnnxFile, read_onnx
from complexity.counters.onnx_graph.inputs import (
    InputShapes,
    InputSizes,
    choose_input_sizes,
    format_shape,
)
from complexity.counters.onnx_graph.operators import (
    COSTS,
    FUSED,
    IN_PLACE,
    INTEGER,
    NORMALIZED,
    RECURRENT,
    VIEWS,
    WINDOWED,
    Operands,
)
from complexity.counters.onnx_graph.quantized_forms import CHANNELS_LAST
from complexity.counters.onnx_graph.storage import Storage, Stored
from complexity.operations import Graph, Node, Work
from runtime.entry_point import require
from runtime.errors import ModelFileError


@dataclass(frozen=True)
class OnnxCount:
    """What an ONNX file costs.

    Attributes:
        file: as read, its branches chosen.
        graph: the operations in their order, with QDQ pairs folded.
        stored: what it stores.
        notes: sentences about branches that cost differently, and about a batch in the file.
    """

    file: OnnxFile
    graph: Graph
    stored: Stored
    notes: tuple[str, ...]

    @property
    def run(self) -> Run:
        """The graph and the shapes of its outputs."""
        return Run(self.graph, tuple(self.file.shape(value.name) for value in self.file.proto.graph.output))


def count_onnx(path: str | Path, input_shape: InputShapes | None = None) -> OnnxCount:
    """Read and count an ONNX file for one clip.

    A first axis of several elements counts as 1 where it is a batch by the evidence of the graph
    (`complexity.batch_axis`) or by the word of the caller, and as it stands where it is a part of the clip.

    Args:
        path: the file, see `complexity.counters.onnx_graph.file.read_onnx`.
        input_shape: shape of its only input, or shapes by the names of inputs, where the graph leaves
            them open.

    Raises:
        ConfigError: where ``input_shape`` does not fit the inputs.
        ModelFileError: where the file cannot be counted, or what its first axis is cannot be told; the
            message says why.
    """
    unsized = read_onnx(path)
    sizes = choose_input_sizes(unsized.proto.graph, input_shape, unsized.path)
    whole = _count(unsized.at(sizes.whole))
    other = None
    if sizes.other is not None:
        with suppress(ModelFileError):  # where another batch is built in
            other = _count(unsized.at(sizes.other))
    return _choose(whole, other, sizes)


def _choose(whole: OnnxCount, other: OnnxCount | None, sizes: InputSizes) -> OnnxCount:
    """The count of one clip, of counts at two sizes of the first axis; see `InputSizes`."""
    path = whole.file.path
    shapes = [f"{name}={format_shape(shape)}" for name, shape in sizes.whole.items()]
    options = " ".join(f"--input-shape {shape}" for shape in shapes)
    if sizes.assumed:
        if other is not None and compare_sizes(whole.run, other.run, sizes.ratio) is not Axis.BATCH:
            raise ModelFileError(
                f"The first axis of the input of {path} is open, and the network computes along it, so it is "
                "no batch: give the size of a whole clip with --input-shape "
                f"({options} if it is a batch after all)."
            )
        return whole
    axis = Axis.UNKNOWN
    if other is not None:
        axis = compare_sizes(other.run, whole.run, sizes.ratio)
        if axis is Axis.BATCH:
            note = f"The first axis of {sizes.ratio:,} is taken as a batch, one of which counts as the clip"
            note += "." if sizes.given else f" ({options} counts all of it as one clip)."
            return dataclasses.replace(other, notes=(*other.notes, note))
    if sizes.other is not None and axis is Axis.UNKNOWN and not sizes.given and whole.run.keeps(sizes.ratio):
        raise ModelFileError(
            f"The first axis of the input of {path}, {sizes.ratio:,}, may be a batch or a part of the clip: "
            f"export it with a batch of 1, or give {options} to count all of it as one clip."
        )
    if min((shape[0] for shape in sizes.whole.values() if shape), default=1) == 1:
        return whole  # a batch of 1, whatever the state of a recurrence has as its first axis
    note = f"No axis is taken as a batch: the whole of {' and '.join(shapes)} is one clip."
    return dataclasses.replace(whole, notes=(*whole.notes, note))


def _count(sized: OnnxFile) -> OnnxCount:
    file, notes = resolve_branches(sized, _work_of)
    dataflow = Dataflow(file.proto.graph, file.idle)
    reader, storage = _Reader(file, dataflow), Storage(file, dataflow)
    nodes = [reader.read(node, storage) for node in dataflow.nodes if not reader.fold(node)]
    nodes += _idle_nodes(file, dataflow, storage)
    inputs = tuple(v.name for v in file.proto.graph.input if v.name not in dataflow.origins)
    sizes = reader.sizes | {name: file.bytes(name) for name in inputs}
    outputs = (reader.resolve(v.name) for v in file.proto.graph.output)
    graph = Graph(tuple(nodes), sizes, inputs, tuple(t for t in outputs if t in sizes))
    return OnnxCount(file, graph, storage.total(), tuple(notes))


def _idle_nodes(file: OnnxFile, dataflow: Dataflow, storage: Storage) -> list[Node]:
    """Nodes of branches that are not executed: they cost the parameters that they store."""
    found = []
    for node in file.idle:
        if all(name in dataflow.origins for name in node.output):
            continue  # a constant, counted where it is read
        params, param_bytes = storage.take(node)
        if param_bytes:
            kind = f"{node.op_type} (branch not counted)"
            found.append(
                Node(node.name or node.output[0], kind, (), (), (), params=params, param_bytes=param_bytes)
            )
    return found


def _work_of(file: OnnxFile, dataflow: Dataflow, node: Any) -> Work:
    """Arithmetic of one node."""
    helper = require("onnx.helper", extra="complexity")
    operands = Operands(
        inputs=[file.shape(name) if name else None for name in node.input],
        outputs=[file.shape(name) for name in node.output if name],
        constant=[name in dataflow.origins for name in node.input],
        attributes={a.name: helper.get_attribute_value(a) for a in node.attribute},
        values=[file.inferred.values.get(name) for name in node.input],
    )
    try:
        return COSTS[node.op_type](operands)
    except (LookupError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
        raise ModelFileError(
            f"The operator {node.op_type} ('{node.name or node.output[0]}') in {file.path} is used in a way "
            "whose cost is unknown here: replace it, or ask for it in an issue."
        ) from error


class _Reader:
    """Reads nodes one by one; works out first which of them are executed on integers."""

    def __init__(self, file: OnnxFile, dataflow: Dataflow) -> None:
        self._file, self._dataflow = file, dataflow
        self.sizes: dict[str, int] = {}
        self._alias: dict[str, str] = {}  # outputs of folded nodes
        self._integer: set[str] = set()  # outputs of nodes that are executed on integers
        for node in dataflow.nodes:
            if self._is_integer(node):
                self._integer.update(node.output)

    def fold(self, node: Any) -> bool:
        """Fold a Q or DQ node, or a change of layout that no runtime executes; False for every other node."""
        folds = bool(node.doc_string == CHANNELS_LAST)
        if node.op_type == "QuantizeLinear":
            folds = node.input[0] in self._integer
        elif node.op_type == "DequantizeLinear" and node.output[0] not in self._dataflow.outputs:
            readers = self._dataflow.readers[node.output[0]]
            folds = all(self._integer.intersection(reader.output) for reader in readers)
        if folds:
            self._alias[node.output[0]] = self.resolve(node.input[0])
        return folds

    def resolve(self, tensor: str) -> str:
        """The activation itself, or the one that a folded Q or DQ node stands for."""
        return self._alias.get(tensor, tensor)

    def read(self, node: Any, storage: Storage) -> Node:
        """The operation of a node."""
        outputs = tuple(filter(None, node.output))  # an empty name stands for an output that is left out
        integer = outputs[0] in self._integer
        for name in outputs:
            element = self._integer_type(name) if integer else self._file.type(name)
            self.sizes[name] = ceil(prod(self._file.shape(name)) * element.bytes)
        work = _work_of(self._file, self._dataflow, node)
        params, param_bytes = storage.take(node)
        return Node(
            name=node.name or outputs[0],
            op=self._label(node),
            inputs=tuple(
                self._reads(name, integer) for name in node.input if self._dataflow.is_activation(name)
            ),
            outputs=outputs,
            output_shape=self._file.shape(outputs[0]),
            work=work,
            params=params,
            param_bytes=param_bytes,
            reuse=self._reuse(node),
            along=self._along(node),
        )

    def _along(self, node: Any) -> tuple[int, ...]:
        shape = self._file.shape(node.input[0]) if node.input else ()
        if node.op_type in WINDOWED:
            return shape[2:]
        axis = next((a.i for a in node.attribute if a.name in ("axis", "layout")), None)
        if node.op_type in RECURRENT:
            return shape[axis or 0 :][:1]
        return (shape[-1 if axis is None else axis],) if node.op_type in NORMALIZED and shape else ()

    def _label(self, node: Any) -> str:
        output = next(filter(None, node.output))
        quantized = self._file.type(output).name in ("int8", "uint8")
        integer = output in self._integer or (quantized and node.op_type != "QuantizeLinear")
        return f"{node.op_type} (int8)" if integer else str(node.op_type)

    def _is_integer(self, node: Any) -> bool:
        """Whether integers go in, integers come out, and ONNX Runtime has a kernel for it."""
        return (
            node.op_type in INTEGER
            and all(self._integer_type(name) is not None for name in node.output if name)
            and all(
                name in self._integer or self._dataflow.is_made_by(name, "DequantizeLinear")
                for name in node.input
                if self._dataflow.is_activation(name)
            )
        )

    def _integer_type(self, tensor: str) -> Any:
        """The data type that a tensor is quantized to, at once or behind an activation; or None."""
        readers = self._dataflow.readers[tensor]
        if not readers or tensor in self._dataflow.outputs:
            return None
        if all(reader.op_type == "QuantizeLinear" for reader in readers):
            return self._file.type(readers[0].output[0])
        if len(readers) == 1 and readers[0].op_type in FUSED:
            return self._integer_type(readers[0].output[0])
        return None

    def _reads(self, tensor: str, integer: bool) -> str:
        if integer and self._dataflow.is_made_by(tensor, "DequantizeLinear"):
            return self.resolve(self._dataflow.producer[tensor].input[0])
        return self.resolve(tensor)

    def _reuse(self, node: Any) -> Literal["none", "view", "in_place"]:
        if node.op_type in VIEWS and self._dataflow.is_activation(node.input[0]):
            self._check_elements(node)
            return "view"
        return "in_place" if node.op_type in IN_PLACE else "none"

    def _check_elements(self, node: Any) -> None:
        before, after = (prod(self._file.shape(names[0])) for names in (node.input, node.output))
        if before != after:
            raise ModelFileError(
                f"{node.op_type} '{node.name or node.output[0]}' in {self._file.path} makes {after:,} "
                f"elements of {before:,}, so sizes of another batch or input shape are built in: "
                "export it with a batch of 1 and this input shape."
            )
