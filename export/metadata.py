"""The metadata of an ONNX file: the ModelSpec with its self-test vectors, and a checksum over all bytes."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from torch import nn

from complexity import measure
from runtime.model.model_file import SPEC_KEY, append_checksum
from runtime.model.self_test import make_input
from runtime.model.session import run_optimized, run_unoptimized
from runtime.spec import ModelSpec, SelfTestVector
from train.checkpoints.model_pt import Checkpoint
from train.quantization.quantizer import Scheme

_CANDIDATES = (*(("patches", seed) for seed in range(1, 9)), ("ramp", 20), ("ramp", 40))
_VECTORS = 3
_PACKAGES = ("torch", "torchao", "onnx", "onnxscript")


def stamp(
    model: onnx.ModelProto, checkpoint: Checkpoint, network: nn.Module, quantization: dict[str, Any]
) -> bytes:
    """Serialize a model with its description.

    Args:
        model: the graph, see `export.onnx_graph.to_onnx`.
        checkpoint: where labels, front end and provenance come from.
        network: the float student, which the complexity rules are defined on.
        quantization: for ``ModelSpec.quantization``, see `describe_int8`.

    Returns:
        The bytes of the file with its checksum.
    """
    bare = model.SerializeToString()
    stored = "float32" if quantization["scheme"] == "float32" else "int8"
    report = measure(network, checkpoint.input_shape, stored_dtype=stored, frontend=checkpoint.frontend)
    spec = ModelSpec(
        labels=checkpoint.labels,
        frontend=checkpoint.frontend,
        task=checkpoint.task,
        clip_s=checkpoint.clip_s,
        complexity=report.totals(),
        quantization=quantization,
        temperature=checkpoint.temperature,
        thresholds=checkpoint.thresholds,
        provenance={**checkpoint.provenance, **_calibration(quantization, checkpoint), "export": _versions()},
        self_test_vectors=_self_test_vectors(bare, checkpoint),
    )
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {SPEC_KEY: spec.to_json()})
    return append_checksum(model.SerializeToString())


def describe_int8(model: onnx.ModelProto, scheme: Scheme, how: dict[str, Any]) -> dict[str, Any]:
    """The INT8 scheme of a graph for ``ModelSpec.quantization``.

    Args:
        model: the graph; its last dequantization gives the output step.
        scheme: what varies in the scheme.
        how: how the ranges were found.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    last = [node for node in model.graph.node if node.op_type == "DequantizeLinear"][-1]
    scale, zero_point = (numpy_helper.to_array(constants[name]).item() for name in last.input[1:])
    return {
        "scheme": "int8",
        "weight_range": list(scheme.weight_range),
        "output_scale": scale,
        "output_zero_point": zero_point,
        "keep_float": list(scheme.keep_float),
        **how,
    }


def float32() -> dict[str, Any]:
    """``ModelSpec.quantization`` of a float network."""
    return {"scheme": "float32"}


def _self_test_vectors(model: bytes, checkpoint: Checkpoint) -> tuple[SelfTestVector, ...]:
    """The candidates that optimized kernels answer most exactly.

    What a layer in float makes may lie near a tie, where kernels round apart. Where that does not happen
    here, a difference on another machine comes from that machine; integer networks know no ties.
    """
    found = []
    for formula, seed in _CANDIDATES:
        log_mel = make_input(formula, seed, checkpoint.input_shape)
        exact = run_unoptimized(model, log_mel)[0][0]
        error = float(np.abs(run_optimized(model, log_mel)[0][0] - exact).max())
        found.append((error, SelfTestVector(formula, seed, tuple(float(logit) for logit in exact))))
    return tuple(vector for _, vector in sorted(found, key=lambda pair: pair[0])[:_VECTORS])


def _calibration(quantization: dict[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """Which windows of training INT8 was calibrated with."""
    if quantization.get("method") != "ptq":
        return {}
    return {"calibration": list(checkpoint.calibration_ids)}


def _versions() -> dict[str, str]:
    found = {}
    for package in ("tinyscene", *_PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a checkout that is on the path without being installed
            continue
    return found
