"""An ONNX file, parsed, fixed to one input shape at batch 1, with the shape of every tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

from complexity.counters.onnx_operators import COSTS, QUANTIZED_FORMS, Shape
from runtime.entry_point import require
from runtime.errors import ConfigError, ModelFileError
from runtime.spec import ModelSpec


@dataclass(frozen=True)
class ElementType:
    """A data type by numpy's name, and the bytes of one element (half a byte for int4)."""

    name: str
    bytes: float


@dataclass(frozen=True)
class OnnxFile:
    """A checked graph of known operators; QOperator nodes are written as what they quantize.

    Attributes:
        path: of the file.
        proto: the ``ModelProto``.
        shapes: of every tensor.
        types: data type of every tensor.
        scales: names of the tensors that are scales and zero points.
        spec: our description inside the file; None where it is somebody else's.
    """

    path: Path
    proto: Any
    shapes: dict[str, Shape]
    types: dict[str, ElementType]
    scales: frozenset[str]
    spec: ModelSpec | None

    def shape(self, tensor: str) -> Shape:
        """Shape of a tensor. Raises ModelFileError where the graph does not tell it."""
        if tensor not in self.shapes:
            raise ModelFileError(
                f"The shape of '{tensor}' in {self.path} cannot be told from the graph: give the "
                "input's with --input-shape, or export it again with fixed shapes."
            )
        return self.shapes[tensor]

    def type(self, tensor: str) -> ElementType:
        """Data type of a tensor. Raises ModelFileError where the graph does not tell it."""
        if tensor not in self.types:
            raise ModelFileError(
                f"The data type of '{tensor}' in {self.path} cannot be told from the graph: export it again."
            )
        return self.types[tensor]

    def bytes(self, tensor: str) -> int:
        """Bytes of a tensor."""
        return ceil(prod(self.shape(tensor)) * self.type(tensor).bytes)

    @property
    def parts(self) -> list[Path]:
        """The file and those beside it that hold its weights, as far as they are there."""
        return [self.path, *filter(Path.is_file, sorted(_side_files(self.proto, self.path)))]


def read_onnx(path: str | Path, input_shape: Sequence[int] | None = None) -> OnnxFile:
    """Read a model.onnx, ours or anyone's.

    Args:
        path: the file; weights may lie in another file, which is not opened.
        input_shape: shape of its input, for a graph that leaves it open; the batch is taken as 1.

    Raises:
        ModelFileError: where the file is no ONNX model, or holds operators or shapes that are unknown.
    """
    path = Path(path)
    onnx = require("onnx", extra="complexity")
    proto = _parse(onnx, path)
    scales = _rewrite_quantized(proto.graph)
    _refuse_unknown(proto.graph, path)
    _fix_input_shape(proto.graph, input_shape, path)
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
        shapes, types = _describe_tensors(onnx, inferred.graph)
    except Exception as error:  # the C++ side raises plain RuntimeErrors, unknown types are KeyErrors
        raise ModelFileError(
            f"The shapes or types inside {path} contradict each other or the input shape: "
            "give the shape that the model takes with --input-shape, or export it again."
        ) from error
    return OnnxFile(path, inferred, shapes, types, scales, _read_spec(proto))


def _parse(onnx: Any, path: Path) -> Any:
    if not path.is_file():
        raise ModelFileError(f"There is no file {path}: `python -m export onnx` makes a model.onnx.")
    try:
        proto = onnx.load(path, load_external_data=False)
        if not _side_files(proto, path):  # the checker would look for those weights, which are not needed
            onnx.checker.check_model(proto)
    except Exception as error:  # protobuf and the checker raise whatever they like on damaged bytes
        raise ModelFileError(
            f"{path} is not an ONNX model that onnx {onnx.__version__} reads: it is damaged, cut short, "
            "newer or of another kind; copy or export it again."
        ) from error
    if not proto.graph.node:
        raise ModelFileError(f"{path} is an ONNX model without any operator: export it again.")
    return onnx.inliner.inline_local_functions(proto) if proto.functions else proto


def _side_files(proto: Any, path: Path) -> set[Path]:
    """The files beside an .onnx that hold weights of it."""
    return {
        path.parent / entry.value
        for tensor in proto.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _rewrite_quantized(graph: Any) -> frozenset[str]:
    """Turn QOperator nodes into the operators they quantize; return scales and zero points."""
    scales: set[str] = set()
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scales.update(node.input[1:])
        data = _data_inputs(node)
        if data is None:
            continue
        kept = [node.input[i] for i in data if i < len(node.input)]
        scales.update(name for name in node.input if name not in kept)
        node.op_type = (
            "Concat" if node.op_type == "QLinearConcat" else QUANTIZED_FORMS[node.domain, node.op_type][0]
        )
        node.domain = ""
        del node.input[:]
        node.input.extend(kept)
    return frozenset(scales - {""})


def _data_inputs(node: Any) -> Sequence[int] | None:
    if (node.domain, node.op_type) == ("com.microsoft", "QLinearConcat"):
        return range(2, len(node.input), 3)
    domain = "" if node.domain == "ai.onnx" else node.domain
    form = QUANTIZED_FORMS.get((domain, node.op_type))
    return form[1] if form else None


def _refuse_unknown(graph: Any, path: Path) -> None:
    unknown = sorted(
        {
            f"{node.domain}::{node.op_type}" if node.domain else node.op_type
            for node in graph.node
            if node.domain not in ("", "ai.onnx") or node.op_type not in COSTS
        }
    )
    if unknown:
        raise ModelFileError(
            f"{path} holds operators whose cost is unknown here ({', '.join(unknown)}): replace them, "
            "or ask for them in an issue; a silent zero would be wrong."
        )


def _fix_input_shape(graph: Any, given: Sequence[int] | None, path: Path) -> None:
    """Write the one input shape into the graph, batch 1, and forget shapes that other sizes left behind."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if given is not None and len(inputs) != 1:
        raise ConfigError(f"{path} has {len(inputs)} inputs and --input-shape names only one.")
    for value in inputs:
        dims = value.type.tensor_type.shape.dim
        fixed = [d.dim_value or None for d in dims]
        sizes = fixed if given is None else list(given)
        if len(sizes) != len(dims) or any(a and a != b for a, b in zip(fixed[1:], sizes[1:], strict=True)):
            raise ConfigError(
                f"The input '{value.name}' of {path} is {_write(fixed)}, which --input-shape "
                f"{_write(sizes)} does not fit: give one that does."
            )
        if None in sizes[1:]:
            raise ModelFileError(
                f"The input '{value.name}' of {path} is {_write(fixed)}, open where the question marks "
                "are: fill them in with --input-shape, such as --input-shape 1,1,256,64."
            )
        for dim, size in zip(dims, [1, *sizes[1:]], strict=False):
            dim.dim_value = size
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")


def _write(sizes: Sequence[int | None]) -> str:
    return ",".join("?" if size is None else str(size) for size in sizes)


def _describe_tensors(onnx: Any, graph: Any) -> tuple[dict[str, Shape], dict[str, ElementType]]:
    shapes: dict[str, Shape] = {t.name: tuple(t.dims) for t in graph.initializer}
    types: dict[str, int] = {t.name: t.data_type for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            shapes[value.name] = tuple(d.dim_value for d in tensor.shape.dim)
        types[value.name] = tensor.elem_type
    return shapes, {name: _element_type(onnx, kind) for name, kind in types.items() if kind}


def _element_type(onnx: Any, elem_type: int) -> ElementType:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(elem_type)
    return ElementType(dtype.name, 0.5 if dtype.name in ("int4", "uint4") else dtype.itemsize)


def _read_spec(proto: Any) -> ModelSpec | None:
    for entry in proto.metadata_props:
        if entry.key == "model_spec":
            return ModelSpec.from_json(entry.value)
    return None
