"""An ONNX file, checked, with the shape of every tensor."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

from complexity.counters.onnx_graph.external_data import (
    EXTERNAL,
    external_files,
    graphs_of,
    load_small_tensors,
    require_external_data,
    tensors_of,
)
from complexity.counters.onnx_graph.inputs import fix_input_sizes
from complexity.counters.onnx_graph.operators import COSTS, REPEATED
from complexity.counters.onnx_graph.quantized_forms import rewrite_quantized
from complexity.counters.onnx_graph.shapes import ElementType, Inferred, Shape, infer
from complexity.error_text import first_line
from complexity.file_kinds import identify, read_model
from runtime.entry_point import require
from runtime.errors import ModelFileError
from runtime.spec import ModelSpec


@dataclass(frozen=True)
class OnnxFile:
    """A checked graph of known operators; quantized forms are written as the operators they stand for.

    Attributes:
        path: of the file.
        files: the file and those beside it that hold its weights.
        proto: the ``ModelProto``.
        inferred: shapes, data types and small constants.
        scales: names of the tensors that are scales and zero points.
        spec: this project's metadata in the file; None where another tool wrote it.
        idle: nodes of branches that are not counted; their parameters are stored all the same.
    """

    path: Path
    files: tuple[Path, ...]
    proto: Any
    inferred: Inferred
    scales: frozenset[str]
    spec: ModelSpec | None
    idle: tuple[Any, ...] = ()

    def shape(self, tensor: str) -> Shape:
        """Shape of a tensor. Raises ModelFileError where it depends on the data."""
        if tensor not in self.inferred.shapes:
            raise ModelFileError(
                f"The shape of '{tensor}' in {self.path} cannot be computed from the shapes of the inputs: "
                "give those with --input-shape, or export the model again with fixed shapes."
            )
        return self.inferred.shapes[tensor]

    def type(self, tensor: str) -> ElementType:
        """Data type of a tensor. Raises ModelFileError where the graph does not give it."""
        if tensor not in self.inferred.types:
            raise ModelFileError(
                f"The data type of '{tensor}' in {self.path} does not follow from the graph: export it again."
            )
        return self.inferred.types[tensor]

    def bytes(self, tensor: str) -> int:
        """Bytes of a tensor."""
        return ceil(prod(self.shape(tensor)) * self.type(tensor).bytes)

    def replace_graph(self, proto: Any, idle: tuple[Any, ...]) -> OnnxFile:
        """The same file with another form of its graph; its shapes are inferred anew."""
        return dataclasses.replace(self, proto=proto, inferred=infer(proto, self.path), idle=idle)


@dataclass(frozen=True)
class UnsizedFile:
    """A checked graph of known operators whose inputs may have any size, see `OnnxFile`."""

    path: Path
    files: tuple[Path, ...]
    proto: Any
    scales: frozenset[str]
    spec: ModelSpec | None

    def at(self, sizes: Mapping[str, Sequence[int]]) -> OnnxFile:
        """The file with these shapes of its inputs.

        Raises:
            ModelFileError: where the graph does not take them.
        """
        proto = type(self.proto)()
        proto.CopyFrom(self.proto)
        fix_input_sizes(proto.graph, sizes)
        return OnnxFile(self.path, self.files, proto, infer(proto, self.path), self.scales, self.spec)


def read_onnx(path: str | Path) -> UnsizedFile:
    """Read an ONNX file of this project or of any other tool.

    Args:
        path: the file; weights that lie in files beside it must exist and are not read.

    Raises:
        ModelFileError: where the file is no ONNX model, was exported in training mode, lacks weights, or
            holds operators that are unknown.
    """
    path = Path(path)
    proto = _parse(path)
    files = (path, *external_files(proto, path))
    load_small_tensors(proto, path)
    if proto.functions:
        proto = require("onnx.inliner", extra="complexity").inline_local_functions(proto)
    spec = _read_spec(proto)
    _refuse_training_mode(proto, path)
    scales = rewrite_quantized(proto.graph)
    _refuse_unknown(proto.graph, path)
    return UnsizedFile(path, files, proto, scales, spec)


def _parse(path: Path) -> Any:
    onnx = require("onnx", extra="complexity")
    message = require("google.protobuf.message", extra="complexity")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(read_model(path, hint="`python -m export onnx` makes a model.onnx"))
    except message.DecodeError as error:
        raise ModelFileError(_explain_foreign(path)) from error
    if not proto.graph.node:
        kind = identify(path) or "its graph is empty"
        raise ModelFileError(f"{path} is no ONNX model with operators ({kind}): copy or export it again.")
    require_external_data(proto, path)
    _check(proto, path)
    return proto


def _explain_foreign(path: Path) -> str:
    kind = identify(path)
    if kind:
        return f"{path} is not an ONNX model: {kind}."
    return (
        f"{path} is not an ONNX model that can be parsed: its bytes are no complete protobuf message, as "
        "when a file is cut short or damaged; copy or export it again."
    )


def _check(proto: Any, path: Path) -> None:
    onnx = require("onnx", extra="complexity")
    try:
        onnx.checker.check_model(_for_checker(proto))
    except UnicodeDecodeError as error:  # the checker quotes what it refuses
        raise ModelFileError(
            f"{path} is a damaged ONNX model (a name in it is no UTF-8 text): copy or export it again."
        ) from error
    except onnx.checker.ValidationError as error:
        raise ModelFileError(
            f"{path} is not a valid ONNX model, onnx {onnx.__version__} says: {first_line(error)}; upgrade "
            "onnx where the model is newer, or export it again."
        ) from error


def _for_checker(proto: Any) -> Any:
    """A copy for onnx's checker, which refuses values without a shape and opens external files.

    Such values are legal, and the content of those files does not matter here.
    """
    copy = type(proto)()
    copy.CopyFrom(proto)
    for graph in all_graphs(copy.graph):
        for value in (*graph.input, *graph.output):
            if value.type.HasField("tensor_type"):
                value.type.tensor_type.shape.SetInParent()
    for tensor in tensors_of(copy.graph):
        if tensor.data_location == EXTERNAL:
            del tensor.external_data[:], tensor.dims[:]
            tensor.data_location = 0
            tensor.dims.append(0)
    return copy


def all_graphs(graph: Any) -> Iterator[Any]:
    """A graph and the graphs inside its nodes, such as the branches of If."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in graphs_of(attribute):
                yield from all_graphs(inner)


def _refuse_training_mode(proto: Any, path: Path) -> None:
    """Refuse what only training executes: batch statistics and random zeros."""
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 1)
    for graph in all_graphs(proto.graph):
        for node in graph.node:
            if node.op_type == "BatchNormalization":
                # before opset 14, outputs beyond the first are the statistics of training
                training = _flag(node, "training_mode") if opset >= 14 else sum(map(bool, node.output)) > 1
            else:
                training = (
                    node.op_type == "Dropout" and len(node.input) > 2 and _is_true(graph, node.input[2])
                )
            if training:
                raise ModelFileError(
                    f"{path} was exported in training mode ({node.op_type} '{node.name or node.output[0]}' "
                    "is set to training): call eval() on the network and export it again."
                )


def _flag(node: Any, name: str) -> bool:
    return any(attribute.name == name and attribute.i for attribute in node.attribute)


def _is_true(graph: Any, name: str) -> bool:
    numpy_helper = require("onnx.numpy_helper", extra="complexity")
    stored = [tensor for tensor in graph.initializer if tensor.name == name]
    stored += [
        attribute.t
        for node in graph.node
        if node.op_type == "Constant" and name in node.output
        for attribute in node.attribute
        if attribute.HasField("t")
    ]
    return any(bool(numpy_helper.to_array(tensor).any()) for tensor in stored)


def _refuse_unknown(graph: Any, path: Path) -> None:
    nodes = [node for inner in all_graphs(graph) for node in inner.node]
    repeated = sorted({node.op_type for node in nodes if node.op_type in REPEATED})
    if repeated:
        raise ModelFileError(
            f"{path} holds {', '.join(repeated)}, which runs a part of the network as often as the data "
            "says, so its cost is not fixed: export the model with the loop unrolled, or measure its body."
        )
    sparse = [tensor.values.name for inner in all_graphs(graph) for tensor in inner.sparse_initializer]
    if sparse:
        raise ModelFileError(
            f"{path} holds the sparse weight '{sparse[0]}', whose cost depends on the runtime: store it "
            "as a dense one."
        )
    unknown = sorted(
        {
            f"{node.domain}::{node.op_type}" if node.domain else node.op_type
            for node in nodes
            if node.domain not in ("", "ai.onnx") or node.op_type not in COSTS
        }
        - {"If"}
    )
    if unknown:
        raise ModelFileError(
            f"{path} holds operators whose cost is unknown here ({', '.join(unknown)}): replace them, "
            "or ask for them in an issue; a silent zero would be wrong."
        )


def _read_spec(proto: Any) -> ModelSpec | None:
    for entry in proto.metadata_props:
        if entry.key == "model_spec":
            return ModelSpec.from_json(entry.value)
    return None
