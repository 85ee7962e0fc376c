"""Exports a torch network to an ONNX ModelProto: pinned opset and IR, weights inline, no machine paths."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from export.passes.default_values import drop_default_values
from export.passes.exporter_notes import strip_exporter_notes
from export.passes.integer_operators import average_integers, pool_globally, square_by_multiplication
from export.passes.space_to_depth import space_to_depth
from export.passes.tensor_names import name_tensors
from runtime.model.session import INPUT, OUTPUT
from train.quantization.graph.value_names import quantized_values

OPSET = 21  # ONNX Runtime 1.20 (October 2024) reads up to opset 21 and IR 10
IR_VERSION = 10


def to_onnx(network: nn.Module, input_shape: tuple[int, ...]) -> onnx.ModelProto:
    """Export a float network or an INT8 model.

    Args:
        network: a module in eval mode, or a graph of `train.quantization.conversion.convert`.
        input_shape: [1, 1, n_mels, frames]; the batch becomes a free dimension.

    Returns:
        input ``log_mel`` float32 [batch, 1, n_mels, frames], output ``logits`` float32 [batch, classes].
    """
    example = torch.zeros(2, *input_shape[1:])  # the exporter would fix a batch of one as a constant
    model = trace(network, example, {0: torch.export.Dim("batch")}, (INPUT, OUTPUT))
    square_by_multiplication(model.graph)
    pool_globally(model.graph)
    average_integers(model)
    drop_default_values(model.graph)
    name_tensors(model.graph, quantized_values(network) if isinstance(network, GraphModule) else [])
    space_to_depth(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def trace(
    network: nn.Module,
    example: Tensor,
    free: dict[int, Any],
    names: tuple[str, str],
    opset: int = OPSET,
    ir_version: int = IR_VERSION,
) -> onnx.ModelProto:
    """The graph of a network as the exporter writes it, without its notes.

    Args:
        network: a module in eval mode with one input and one output.
        example: an input.
        free: dimension of the input to a ``torch.export.Dim``; the others are those of the example.
        names: of input and output.
        opset: version of the operators.
        ir_version: version of the file format.
    """
    with _quiet():
        program = torch.onnx.export(
            network, (example,), dynamo=True, opset_version=opset, external_data=False, verbose=False,
            input_names=[names[0]], output_names=[names[1]], dynamic_shapes=(free,),
        )  # fmt: skip
    assert program is not None  # None is returned only where a file name is given
    model = program.model_proto
    model.ir_version = ir_version
    strip_exporter_notes(model)
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's notes about optional packages and its own internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
