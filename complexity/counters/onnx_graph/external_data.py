"""Weights of an ONNX model that lie in files beside it (``model.onnx.data``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runtime.errors import ModelFileError

EXTERNAL = 1  # TensorProto.EXTERNAL, without importing onnx
_SMALL = 1024  # elements: enough for shapes, axes and scale factors, which shape inference reads


def external_files(proto: Any, path: Path) -> list[Path]:
    """The files that hold weights of a model, in alphabetical order, whether they exist or not.

    Args:
        proto: an ``onnx.ModelProto`` that was loaded without its external data.
        path: where it was loaded from.
    """
    return sorted({path.parent / _entries(tensor)["location"] for tensor in _external(proto.graph)})


def require_external_data(proto: Any, path: Path) -> None:
    """Make sure that every external weight of a model exists in full.

    Args:
        proto: an ``onnx.ModelProto`` that was loaded without its external data.
        path: where it was loaded from.

    Raises:
        ModelFileError: where a file is missing, is shorter than the weights in it, or lies outside the
            model's folder, where ONNX Runtime refuses to read it.
    """
    for tensor in _external(proto.graph):
        entries = _entries(tensor)
        location = Path(entries["location"])
        if location.is_absolute() or ".." in location.parts:
            raise ModelFileError(
                f"{path} keeps the weight '{tensor.name}' in {location}, outside its own folder, where ONNX "
                "Runtime refuses to read it: save the model again with its external data beside it."
            )
        file = path.parent / location
        if not file.is_file():
            raise ModelFileError(
                f"{path} keeps its weights in the external data file {file}, which does not exist: copy it "
                "beside the model, or export the model again."
            )
        end = int(entries.get("offset", 0)) + int(entries.get("length", 0))
        if end > file.stat().st_size:
            raise ModelFileError(
                f"{file} has {file.stat().st_size:,} bytes, but {path} keeps weights in it up to byte "
                f"{end:,}: the external data file was cut short or belongs to another model; copy both again."
            )


def load_small_tensors(proto: Any, path: Path) -> None:
    """Read external tensors of at most 1,024 elements into the model; the large ones stay outside.

    Shape inference needs the values of shapes and axes; nothing here needs the values of weights.

    Args:
        proto: a model whose external data exists, see `require_external_data`; it is changed.
        path: where it was loaded from.
    """
    for tensor in _external(proto.graph):
        elements = 1
        for size in tensor.dims:
            elements *= size
        if elements > _SMALL:
            continue
        entries = _entries(tensor)
        with (path.parent / entries["location"]).open("rb") as stream:
            stream.seek(int(entries.get("offset", 0)))
            tensor.raw_data = stream.read(int(entries.get("length", -1)))
        del tensor.external_data[:]
        tensor.data_location = 0  # TensorProto.DEFAULT


def tensors_of(graph: Any) -> Iterator[Any]:
    """Every stored tensor of a graph: initializers and constants, also those of inner graphs."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in graphs_of(attribute):
                yield from tensors_of(inner)


def graphs_of(attribute: Any) -> Iterator[Any]:
    """The graphs that an attribute of a node holds, such as the branches of If."""
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def _external(graph: Any) -> Iterator[Any]:
    return (tensor for tensor in tensors_of(graph) if tensor.data_location == EXTERNAL)


def _entries(tensor: Any) -> dict[str, str]:
    return {"location": "", **{entry.key: entry.value for entry in tensor.external_data}}
