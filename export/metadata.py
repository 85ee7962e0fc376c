"""Metadata of a model file: the ModelSpec with its self-test vectors, and a checksum of all bytes."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import onnx
from onnx import numpy_helper
from torch import nn

from complexity import measure
from export.self_test_vectors import choose_self_test_vectors
from runtime.model.model_file import SPEC_KEY, append_checksum
from runtime.spec import ModelSpec
from train.checkpoints.model_pt import Checkpoint
from train.quantization.quantizer import Scheme

WEIGHTS_CHECKSUM, _CALIBRATION = "weights_sha256", "calibration"  # keys of the provenance
_PACKAGES = ("torch", "torchao", "onnx", "onnxscript")
_STORED_DTYPES = {"float32": "float32", "fp16": "float16", "int8": "int8"}  # by quantization scheme


def make_spec(
    model: bytes,
    checkpoint: Checkpoint,
    network: nn.Module,
    quantization: dict[str, Any],
    provenance: dict[str, Any],
) -> ModelSpec:
    """Describe an exported model.

    Args:
        model: the serialized graph, see `export.onnx_graph.to_onnx`.
        checkpoint: source of labels, front end and provenance.
        network: the float student, which the complexity rules are defined on.
        quantization: for ``ModelSpec.quantization``, see `describe_int8`.
        provenance: what the export adds to the provenance of the checkpoint.
    """
    stored = _STORED_DTYPES[quantization["scheme"]]
    report = measure(network, checkpoint.input_shape, stored_dtype=stored, frontend=checkpoint.frontend)
    return ModelSpec(
        labels=checkpoint.labels,
        frontend=checkpoint.frontend,
        task=checkpoint.task,
        clip_s=checkpoint.clip_s,
        complexity=report.totals(),
        quantization=quantization,
        temperature=checkpoint.temperature,
        thresholds=checkpoint.thresholds,
        provenance={
            **checkpoint.provenance,
            **provenance,
            WEIGHTS_CHECKSUM: weights_checksum(checkpoint),
            "export": package_versions(),
        },
        self_test_vectors=choose_self_test_vectors(model, checkpoint.input_shape),
    )


def attach_metadata(model: onnx.ModelProto, spec: ModelSpec) -> bytes:
    """Serialize a model with its description and a checksum; metadata that it had is replaced."""
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {SPEC_KEY: spec.to_json()})
    return append_checksum(model.SerializeToString())


def describe_int8(model: onnx.ModelProto, scheme: Scheme, how: dict[str, Any]) -> dict[str, Any]:
    """The INT8 scheme of a graph for ``ModelSpec.quantization``.

    Args:
        model: the graph; its last dequantization gives the output step.
        scheme: weight range and float values of the graph.
        how: how the ranges were chosen.
    """
    scale, zero_point = output_parameters(model)
    return {
        "scheme": "int8",
        "weight_range": list(scheme.weight_range),
        "output_scale": scale,
        "output_zero_point": zero_point,
        "keep_float": list(scheme.keep_float),
        **float_statistics(model),
        **how,
    }


def float_statistics(model: onnx.ModelProto) -> dict[str, bool]:
    """``ModelSpec.quantization``'s entry for a graph with ResNorm; empty for others.

    ResNorm divides by standard deviations in float; a small deviation magnifies the rounding error.
    """
    divides = any(node.op_type == "Reciprocal" for node in model.graph.node)
    return {"float_statistics": True} if divides else {}


def output_parameters(model: onnx.ModelProto) -> tuple[float, int]:
    """Scale and zero point of the last dequantization of a graph."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    last = [node for node in model.graph.node if node.op_type == "DequantizeLinear"][-1]
    scale, zero_point = (numpy_helper.to_array(constants[name]).item() for name in last.input[1:])
    return scale, zero_point


def weights_checksum(checkpoint: Checkpoint) -> str:
    """SHA-256 of the float weights, by which `verify --against` recognises the model.pt of a file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(checkpoint.state_dict.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def describe_calibration(checkpoint: Checkpoint) -> dict[str, Any]:
    """Number of the calibration windows and a SHA-256 of their ids, for the provenance of the file."""
    ids = "\n".join(checkpoint.calibration_ids)
    digest = hashlib.sha256(ids.encode()).hexdigest()
    return {_CALIBRATION: {"windows": len(checkpoint.calibration), "ids_sha256": digest}}


def calibrated_on(spec: ModelSpec, checkpoint: Checkpoint) -> bool:
    """Whether a file was calibrated on the calibration windows of a checkpoint."""
    return bool(spec.provenance.get(_CALIBRATION) == describe_calibration(checkpoint)[_CALIBRATION])


def package_versions() -> dict[str, str]:
    """Versions of the packages that make an exported file what it is."""
    versions = {}
    for package in ("tinyscene", *_PACKAGES):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # a checkout that is on the path without being installed
            continue
    return versions
