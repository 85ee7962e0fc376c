"""A tiny model, made without torch, and noise to feed it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import pytest

from runtime.classifier import Model, load_model
from runtime.goldens import make_input
from runtime.modelfile import seal
from runtime.spec import FrontEndSpec, Golden, ModelSpec

LABELS = ("rain", "dog", "clock", "fire")


def build_onnx(spec: ModelSpec, *, classes: int | None = None, domain: str = "") -> bytes:
    """Convolution, ReLU, global mean, linear: as plain as an ONNX model with these doors can be."""
    onnx = pytest.importorskip("onnx", reason="the test model is made with the onnx package")
    helper, rng = onnx.helper, np.random.default_rng(7)
    classes = classes or len(spec.labels)

    def tensor(name: str, *shape: int) -> object:
        return onnx.numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["log_mel", "kernel"], ["conv"], strides=[4, 4], domain=domain),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"]),
    ]
    shape = ["batch", *spec.input_shape[1:]]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("log_mel", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", classes])],
        [tensor("kernel", 8, 1, 7, 7), tensor("weight", 8, classes), tensor("bias", classes)],
    )
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, {"model_spec": spec.to_json()})
    return model.SerializeToString()


def with_goldens(spec: ModelSpec) -> ModelSpec:
    """Stamp the logits that unoptimized ONNX Runtime gives."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(build_onnx(spec), options)

    def golden(formula: str, seed: int) -> Golden:
        log_mel = make_input(formula, seed, spec.input_shape)
        logits = session.run(None, {"log_mel": log_mel})[0][0]
        return Golden(formula, seed, tuple(float(x) for x in logits))

    return dataclasses.replace(spec, goldens=(golden("patches", 1), golden("ramp", 5)))


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    pytest.importorskip("onnx", reason="the test model is made with the onnx package")
    return with_goldens(ModelSpec(labels=LABELS, frontend=FrontEndSpec.preset("cp_mel")))


@pytest.fixture(scope="session")
def model_path(spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(seal(build_onnx(spec)))
    return path


@pytest.fixture(scope="session")
def model(model_path: Path) -> Model:
    return load_model(model_path)


@pytest.fixture(scope="session")
def noise() -> np.ndarray:
    """Four seconds at 32 kHz whose level and colour change, so that no two windows are alike."""
    rng = np.random.default_rng(3)
    white = rng.normal(size=128_000).astype(np.float32)
    swell = 0.02 + 0.2 * np.abs(np.sin(np.arange(128_000) / 9_000)).astype(np.float32)
    return (swell * np.convolve(white, [0.5, 0.3, 0.2], "same")).astype(np.float32)
