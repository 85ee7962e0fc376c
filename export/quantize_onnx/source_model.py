"""Reads a float ONNX file of any toolkit into one ModelProto that the quantizer takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, inliner, numpy_helper, version_converter
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data

from complexity.error_text import first_line
from runtime.errors import ModelFileError

OLDEST_OPSET = 13  # the first whose QuantizeLinear has one scale per channel
_ONNX_DOMAINS = ("", "ai.onnx")
_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul")
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "LSTM", "GRU", "RNN")
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
_BATCH_NORM_OUTPUTS = 1  # in inference; before opset 14, training has five


def read_source(path: Path) -> onnx.ModelProto:
    """Read a float model: weights inline, functions inlined, at least opset `OLDEST_OPSET`.

    Raises:
        ModelFileError: where the file is missing or no ONNX model, its weights are missing or not finite, or
            it is in training mode, quantized already, or of an opset that cannot be converted.
    """
    if not path.is_file():
        fault = f"{path} is a folder" if path.is_dir() else f"There is no file {path}"
        raise ModelFileError(f"{fault}: name a float .onnx file.")
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise ModelFileError(
            f"{path} is not an ONNX model, or cut short: name a float .onnx file."
        ) from error
    if not model.graph.node:
        raise ModelFileError(f"{path} is an ONNX model without any operator: name a float .onnx file.")
    _load_external_data(model, path)
    if model.functions:
        model = inliner.inline_local_functions(model)
    if quantized := next((n.op_type for n in model.graph.node if n.op_type in _QUANTIZED), None):
        raise ModelFileError(f"{path} is quantized already (it holds {quantized}): name the float file.")
    _refuse_training_mode(model, path)
    _refuse_broken_weights(model, path)
    return _convert_opset(model, path)


def _load_external_data(model: onnx.ModelProto, path: Path) -> None:
    locations = {ExternalDataInfo(t).location for t in _tensors(model.graph) if uses_external_data(t)}
    missing = sorted(location for location in locations if not (path.parent / location).is_file())
    if missing:
        raise ModelFileError(
            f"The weights of {path} are external data in {missing[0]}, which is missing: put that file "
            "beside it, or export the model again as one file."
        )
    if not locations:
        return
    try:
        load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        raise ModelFileError(
            f"The external data of {path} cannot be read ({first_line(error)}): export it as one file."
        ) from error


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """The initializers and constants of a graph and of the graphs inside its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else attribute.tensors)
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _tensors(inner)


def _refuse_training_mode(model: onnx.ModelProto, path: Path) -> None:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    constants |= {
        node.output[0]: node.attribute[0].t
        for node in model.graph.node
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value"
    }
    for node in model.graph.node:
        values = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        training = False
        if node.op_type == "BatchNormalization":
            outputs = sum(bool(name) for name in node.output)
            training = bool(values.get("training_mode", 0)) or outputs > _BATCH_NORM_OUTPUTS
        elif node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] in constants:
            training = bool(numpy_helper.to_array(constants[node.input[2]]))
        if training:
            raise ModelFileError(
                f"{path} was exported in training mode ({node.op_type} '{node.name or node.output[0]}' uses "
                "batch statistics or drops values): call model.eval() and export it again."
            )


def _refuse_broken_weights(model: onnx.ModelProto, path: Path) -> None:
    """NaN anywhere, and infinity in a layer; elsewhere it is a mask or the limit of a Clip."""
    of_layers = {name for node in model.graph.node if node.op_type in _LAYERS for name in node.input}
    for tensor in _tensors(model.graph):
        if tensor.data_type not in _FLOATS:
            continue
        value = numpy_helper.to_array(tensor)
        broken = ~np.isfinite(value) if tensor.name in of_layers else np.isnan(value)
        if broken.any():
            raise ModelFileError(
                f"{path} holds a broken network (weight '{tensor.name or 'of a Constant'}' has "
                f"{int(broken.sum())} of {value.size} values that are NaN or infinite): train it again."
            )


def _convert_opset(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    opset = next((entry.version for entry in model.opset_import if entry.domain in _ONNX_DOMAINS), 1)
    if opset >= OLDEST_OPSET:
        return model
    try:
        return version_converter.convert_version(model, OLDEST_OPSET)
    except Exception as error:  # the converter is C++ and raises plain RuntimeErrors and its own
        raise ModelFileError(
            f"{path} has opset {opset}, INT8 needs {OLDEST_OPSET}, and the conversion failed "
            f"({first_line(error)}): export it again with opset_version={OLDEST_OPSET} or higher."
        ) from error
