"""A tiny model, made without torch, and noise to feed it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import pytest

from runtime.classifier import Model, load_model
from runtime.model.model_file import append_checksum
from runtime.model.self_test import make_input
from runtime.spec import FrontEndSpec, ModelSpec, SelfTestVector

LABELS = ("hum", "dog", "clock", "rain")  # from the lowest bands to the highest


def build_onnx(spec: ModelSpec, *, classes: int | None = None, domain: str = "") -> bytes:
    """The label of the loudest quarter of the mel bands: a convolution, a mean over time, a linear layer."""
    onnx = pytest.importorskip("onnx", reason="the test model is made with the onnx package")
    helper, classes = onnx.helper, classes or len(spec.labels)
    band = spec.frontend.n_mels // 4
    contrast = 6 * (np.eye(4, dtype=np.float32) - np.float32(0.25))
    weights = {
        "kernel": np.full((1, 1, band, 1), 1 / band, np.float32),
        "contrast": contrast[:, :classes],
        "bias": np.linspace(0.1, -0.1, classes, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["log_mel", "kernel"], ["bands"], strides=[band, 1], domain=domain),
        helper.make_node("AveragePool", ["bands"], ["mean"], kernel_shape=[1, spec.input_shape[3]]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "contrast", "bias"], ["logits"]),
    ]
    shape = ["batch", *spec.input_shape[1:]]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("log_mel", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", classes])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, {"model_spec": spec.to_json()})
    return model.SerializeToString()


def with_self_test(spec: ModelSpec) -> ModelSpec:
    """Add the logits that unoptimized ONNX Runtime gives."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(build_onnx(spec), options)

    def vector(formula: str, seed: int) -> SelfTestVector:
        log_mel = make_input(formula, seed, spec.input_shape)
        logits = session.run(None, {"log_mel": log_mel})[0][0]
        return SelfTestVector(formula, seed, tuple(float(x) for x in logits))

    return dataclasses.replace(spec, self_test_vectors=(vector("patches", 1), vector("ramp", 5)))


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    pytest.importorskip("onnx", reason="the test model is made with the onnx package")
    return with_self_test(ModelSpec(labels=LABELS, frontend=FrontEndSpec.preset("cp_mel")))


@pytest.fixture(scope="session")
def model_path(spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(append_checksum(build_onnx(spec)))
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
