"""Shapes and data types of every tensor in a graph, by onnx's shape inference and constant folding.

Shape inference alone stops where a shape is computed (Shape, Gather, Concat, ... Reshape), as exporters
write it. So small constants are evaluated with onnx's reference implementation, and inference runs again.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from complexity.counters.onnx_graph.external_data import EXTERNAL
from complexity.error_text import first_line
from complexity.operations import words
from runtime.entry_point import require
from runtime.errors import ModelFileError

Shape = tuple[int, ...]
_SMALL = 1024  # elements of a constant that is evaluated: shapes, axes, scale factors, conditions
_GROWING = words("ConstantOfShape Expand Tile Range")  # whose output may be larger than their inputs
_EVALUATED = _GROWING | words(
    "Constant Shape Size Gather GatherElements GatherND Concat Slice Split Squeeze Unsqueeze Reshape Flatten "
    "Transpose Identity Cast CastLike Add Sub Mul Div Mod Neg Abs Sign Pow Sqrt Floor Ceil Round Min Max Sum "
    "Equal Greater GreaterOrEqual Less LessOrEqual And Or Not Xor Where ReduceProd ReduceSum ReduceMin "
    "ReduceMax CumSum NonZero ScatterND ScatterElements"
)


@dataclass(frozen=True)
class ElementType:
    """A data type by numpy's name, and the bytes of one element (half a byte for int4)."""

    name: str
    bytes: float


@dataclass(frozen=True)
class Inferred:
    """What inference found out about a graph.

    Attributes:
        shapes: of every tensor whose shape is fixed.
        types: data type of every tensor.
        values: numpy arrays of small constants, computed ones included.
    """

    shapes: dict[str, Shape]
    types: dict[str, ElementType]
    values: dict[str, Any]


def infer(proto: Any, path: Path) -> Inferred:
    """Infer the shapes of a model whose inputs have fixed shapes.

    Args:
        proto: an ``onnx.ModelProto``; it stays as it is.
        path: of the file, for messages.

    Raises:
        ModelFileError: where shapes or types in the graph contradict each other.
    """
    work = _without_inferred_shapes(proto)
    values = _stored_values(work.graph)
    while True:
        inferred = _run_inference(work, path)
        shapes, types = _describe(inferred.graph)
        _refuse_negative(shapes, path)
        complete = all(name in shapes for node in work.graph.node for name in node.output if name)
        conditional = any(node.op_type == "If" for node in work.graph.node)
        if (complete and not conditional) or not _fold(work, shapes, values):
            return Inferred(shapes, _element_types(types, path), values)


def _without_inferred_shapes(proto: Any) -> Any:
    """A copy without the shapes that the exporter noted: they may be those of other input sizes."""
    work = type(proto)()
    work.CopyFrom(proto)
    del work.graph.value_info[:]
    # outputs that are inputs or constants would stop the inference, and their shapes are known
    given = {value.name for value in work.graph.input} | {tensor.name for tensor in work.graph.initializer}
    outputs = [value for value in work.graph.output if value.name not in given]
    del work.graph.output[:]
    work.graph.output.extend(outputs)
    for value in work.graph.output:
        value.type.tensor_type.ClearField("shape")
    return work


def _stored_values(graph: Any) -> dict[str, Any]:
    stored = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant":
            stored += [(node.output[0], a.t) for a in node.attribute if a.name == "value"]
    small = {n: t for n, t in stored if prod(t.dims) <= _SMALL and t.data_location != EXTERNAL}
    arrays = {name: _to_array(tensor) for name, tensor in small.items()}
    return {name: array for name, array in arrays.items() if array is not None}


def _to_array(tensor: Any) -> Any | None:
    """A stored tensor as a numpy array; None where numpy has no such data type or the sizes do not fit."""
    numpy_helper = require("onnx.numpy_helper", extra="complexity")
    try:
        return numpy_helper.to_array(tensor)
    except (KeyError, TypeError, ValueError):
        return None


def _run_inference(proto: Any, path: Path) -> Any:
    onnx = require("onnx", extra="complexity")
    inference = require("onnx.shape_inference", extra="complexity")
    # a branch may not take this input shape: that is an error only where the branch is counted
    conditional = any(node.op_type == "If" for node in proto.graph.node)
    try:
        return onnx.shape_inference.infer_shapes(proto, strict_mode=not conditional, data_prop=True)
    except (inference.InferenceError, RuntimeError, ValueError, MemoryError) as error:
        raise ModelFileError(
            f"The shapes or types inside {path} contradict each other or the input shape "
            f"({first_line(error)}): give the shape that the model takes with --input-shape, or export it "
            "again with a batch of 1."
        ) from error


def _refuse_negative(shapes: dict[str, Shape], path: Path) -> None:
    """Refuse what onnx infers where a window is longer than the axis that it moves along."""
    for name, shape in shapes.items():
        if min(shape, default=0) < 0:
            raise ModelFileError(
                f"The tensor '{name}' of {path} would have a size below 0, for an input is shorter than a "
                "window of the network: give the shape of a whole clip with --input-shape."
            )


def _describe(graph: Any) -> tuple[dict[str, Shape], dict[str, int]]:
    shapes: dict[str, Shape] = {t.name: tuple(t.dims) for t in graph.initializer}
    types: dict[str, int] = {t.name: t.data_type for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            shapes[value.name] = tuple(d.dim_value for d in tensor.shape.dim)
        types[value.name] = tensor.elem_type
    return shapes, types


def _element_types(types: dict[str, int], path: Path) -> dict[str, ElementType]:
    helper = require("onnx.helper", extra="complexity")
    named = {}
    for name, kind in types.items():
        if not kind:
            continue
        try:
            dtype = helper.tensor_dtype_to_np_dtype(kind)
        except KeyError as error:
            raise ModelFileError(
                f"The tensor '{name}' in {path} has data type {kind}, which this release of onnx does not "
                "know: upgrade onnx, or export the model again."
            ) from error
        named[name] = ElementType(dtype.name, 0.5 if dtype.name in ("int4", "uint4") else dtype.itemsize)
    return named


def _fold(proto: Any, shapes: dict[str, Shape], values: dict[str, Any]) -> bool:
    """Evaluate nodes that read only small constants; whether there were any."""
    folded = []
    for node in proto.graph.node:
        results = _evaluate(node, proto, shapes, values)
        if results is None:
            continue
        folded.append(node)
        values |= results
    numpy_helper = require("onnx.numpy_helper", extra="complexity")
    constants = [name for node in folded for name in node.output if name]
    remaining = [node for node in proto.graph.node if not any(name in constants for name in node.output)]
    del proto.graph.node[:]
    proto.graph.node.extend(remaining)
    proto.graph.initializer.extend(numpy_helper.from_array(values[name], name) for name in constants)
    return bool(folded)


def _evaluate(
    node: Any, proto: Any, shapes: dict[str, Shape], values: dict[str, Any]
) -> dict[str, Any] | None:
    """Values of a node's outputs; None where they depend on the network's input or are large."""
    if node.op_type in ("Shape", "Size") and node.input[0] in shapes:
        return _evaluate_shape(node, shapes[node.input[0]])
    inputs = [name for name in node.input if name]
    if (not inputs and node.op_type != "Constant") or not all(name in values for name in inputs):
        return None
    if node.op_type not in _EVALUATED or _is_large(node, values):
        return None
    return _run(node, proto, values)


def _run(node: Any, proto: Any, values: dict[str, Any]) -> dict[str, Any] | None:
    """Outputs of a node by onnx's reference implementation; None where it has none, or they are large."""
    numpy = require("numpy", extra="complexity")
    reference = require("onnx.reference", extra="complexity")
    helper = require("onnx.helper", extra="complexity")
    inputs = [name for name in node.input if name]
    one = helper.make_model(
        helper.make_graph(
            [node],
            "one",
            [helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(inputs)],
            [helper.make_empty_tensor_value_info(name) for name in node.output if name],
        ),
        opset_imports=proto.opset_import,
    )
    try:
        outputs = reference.ReferenceEvaluator(one).run(None, {name: values[name] for name in inputs})
    except Exception:  # no implementation for it: the value stays unknown, which is no error
        return None
    arrays = [numpy.asarray(output) for output in outputs]
    if any(array.size > _SMALL or array.dtype.hasobject for array in arrays):
        return None
    return dict(zip(filter(None, node.output), arrays, strict=False))


def _evaluate_shape(node: Any, shape: Shape) -> dict[str, Any]:
    numpy = require("numpy", extra="complexity")
    if node.op_type == "Size":
        return {node.output[0]: numpy.array(prod(shape), numpy.int64)}
    bounds = {a.name: a.i for a in node.attribute}
    return {node.output[0]: numpy.array(shape[slice(bounds.get("start"), bounds.get("end"))], numpy.int64)}


def _is_large(node: Any, values: dict[str, Any]) -> bool:
    """Whether a constant is known to be large before it is evaluated."""
    if node.op_type == "Constant":
        return any(prod(attribute.t.dims) > _SMALL for attribute in node.attribute)
    if node.op_type not in _GROWING:
        return False
    if node.op_type == "Range":
        start, stop, step = (values[name].item() for name in node.input)
        return bool(step == 0 or abs(stop - start) > _SMALL * abs(step))
    sizes = values[node.input[-1]]
    return bool(sizes.ndim == 1 and prod(int(size) for size in sizes) > _SMALL)
