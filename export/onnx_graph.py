"""A torch graph to one tidy ONNX ModelProto: old opset and IR, weights inline, nothing of this machine."""

from __future__ import annotations

import ast
import contextlib
import logging
import warnings
from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn
from torch.fx import GraphModule

from export.passes.space_to_depth import read_frames_in_blocks
from train.quantization.conversion import quantized_values

OPSET = 21  # ONNX Runtime 1.20 (October 2024) reads up to opset 21 and IR 10
IR_VERSION = 10
_QDQ = ("QuantizeLinear", "DequantizeLinear")
_NAMED = ("Conv", "Gemm", "MatMul", "Add", "Mul")
INPUT, OUTPUT = "log_mel", "logits"


def to_onnx(network: nn.Module, input_shape: tuple[int, ...]) -> onnx.ModelProto:
    """Export a float network or an INT8 twin.

    Args:
        network: a module in eval mode, or a graph of `train.quantization.quantizer.convert`.
        input_shape: [1, 1, n_mels, frames]; the batch becomes a free dimension.

    Returns:
        input ``log_mel`` float32 [batch, 1, n_mels, frames], output ``logits`` float32 [batch, classes].
    """
    example = torch.zeros(2, *input_shape[1:])  # a batch of one would be taken for a constant
    with _quiet():
        program = torch.onnx.export(
            network, (example,), dynamo=True, opset_version=OPSET, external_data=False, verbose=False,
            input_names=[INPUT], output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
    assert program is not None  # only with a file name it returns None
    model = program.model_proto
    _strip(model)
    _square_by_multiplication(model.graph)
    _pool_globally(model.graph)
    _drop_defaults(model.graph)
    _rename(model.graph, quantized_values(network) if isinstance(network, GraphModule) else [])
    read_frames_in_blocks(model)
    onnx.checker.check_model(model, full_check=True)
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes about optional packages and its own internals off the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes about source files, stack traces and shapes inside the graph."""
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "tinyscene", ""
    model.ClearField("doc_string")
    model.ClearField("metadata_props")
    graph = model.graph
    graph.name, graph.doc_string = "main", ""
    for field in ("value_info", "metadata_props", "quantization_annotation"):
        graph.ClearField(field)
    _name_nodes(graph)
    for item in [*graph.node, *graph.initializer, *graph.input, *graph.output]:
        item.ClearField("doc_string")
        item.ClearField("metadata_props")


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Name nodes by the module that they are a part of, numbered, for the lint and for profiles."""
    seen: Counter[str] = Counter()
    for node in graph.node:
        notes = {entry.key: entry.value for entry in node.metadata_props}
        *modules, _ = ast.literal_eval(notes.get("pkg.torch.onnx.name_scopes", "['']"))
        node.name = modules[-1] if modules and node.op_type in _NAMED else ""
        seen[node.name] += 1
        if node.name and seen[node.name] > 1:
            node.name += f":{seen[node.name]}"


def _square_by_multiplication(graph: onnx.GraphProto) -> None:
    """Write x to the power of 2 as x * x, which runtimes have an integer kernel for."""
    constants = _constants(graph)
    for node in graph.node:
        if node.op_type == "Pow" and constants.get(node.input[1], np.zeros(())).tolist() in (2, [2]):
            node.op_type = "Mul"
            node.input[1] = node.input[0]


def _pool_globally(graph: onnx.GraphProto) -> None:
    """Write the mean over mels and frames as GlobalAveragePool, which runtimes have an integer kernel for."""
    constants = _constants(graph)
    for node in graph.node:
        if node.op_type == "ReduceMean" and sorted(constants[node.input[1]].tolist()) in ([2, 3], [-2, -1]):
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            node.ClearField("attribute")


def _drop_defaults(graph: onnx.GraphProto) -> None:
    """Leave out what ONNX assumes anyway: it would be 15 KB of a 170 KB file."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        defaults = {"auto_pad": b"NOTSET", "dilations": [1, 1], "group": 1}
        if node.op_type in _QDQ:
            quantized = tensors.get(node.input[0])
            if quantized is not None and quantized.data_type == onnx.TensorProto.INT32:
                del node.input[2:]  # the zero point of a bias is zero
            if not tensors[node.input[1]].dims:
                defaults = {"axis": 1}  # of one scale for the whole tensor
        for entry in list(node.attribute):
            if defaults.get(entry.name) == helper.get_attribute_value(entry):
                node.attribute.remove(entry)


def _rename(graph: onnx.GraphProto, values: list[str]) -> None:
    """Call integer values by their names in the scheme, weights by their layer, the rest by number."""
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    names = {INPUT: INPUT, OUTPUT: OUTPUT, "": ""}
    if len(values) == len(quantizers):
        # the colon keeps the quantized input apart from the input itself
        quantized = [f"{value}:quantized" if value == INPUT else value for value in values]
        names |= {node.output[0]: value for node, value in zip(quantizers, quantized, strict=True)}
    for tensor in [*(name for node in graph.node for name in (*node.input, *node.output))]:
        names.setdefault(tensor, f"t{len(names)}")
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]
    for node in graph.node:
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
