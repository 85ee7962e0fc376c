"""Self-test vectors: inputs that every machine makes alike."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from runtime.errors import ModelFileError
from runtime.model import native_session
from runtime.model.native_session import NativeSession
from runtime.model.self_test import FORMULAS, int8_tolerance, make_input
from runtime.spec import FrontEndSpec, ModelSpec, SelfTestVector


@pytest.mark.parametrize("formula", FORMULAS)
def test_self_test_inputs_are_exact_numbers_in_range(formula: str) -> None:
    first, again = (make_input(formula, 5, (1, 1, 256, 64)) for _ in range(2))
    assert first.dtype == np.float32 and first.shape == (1, 1, 256, 64)
    assert np.array_equal(first, again) and not np.array_equal(first, make_input(formula, 6, (1, 1, 256, 64)))
    assert np.array_equal(first * 64, np.round(first * 64)) and np.abs(first).max() <= 2
    with pytest.raises(ModelFileError, match="upgrade"):
        make_input("chirp", 0, (1, 1, 2, 2))


def int8_spec(step: float) -> ModelSpec:
    return ModelSpec(
        ("a", "b"),
        FrontEndSpec.preset("cp_mel"),
        quantization={"scheme": "int8", "output_scale": step},
        self_test_vectors=(SelfTestVector("patches", 1, (0.0, 0.0)),),
    )


@pytest.mark.parametrize("step", [0.0, -0.25, float("inf"), float("nan")])
def test_no_engine_takes_an_output_step_that_is_no_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    functions = {
        "model_init": lambda: None,
        "model_kernels": lambda: b"C",
        "model_workspace_bytes": lambda: 8,
        "model_run_batch": lambda log_mel, batch, logits, workspace: None,
    }
    monkeypatch.setattr(native_session, "_load", lambda path: SimpleNamespace(**functions))
    monkeypatch.setattr(native_session, "_spec", lambda library, path: int8_spec(step))
    with pytest.raises(ModelFileError, match="without self-test vectors"):
        NativeSession(tmp_path / "libmodel.so")
    with pytest.raises(ModelFileError, match="without self-test vectors"):
        int8_tolerance(int8_spec(step), tmp_path / "model.onnx")


def test_half_a_step_is_left_beside_the_allowed_ones(tmp_path: Path) -> None:
    assert int8_tolerance(int8_spec(0.25), tmp_path / "model.onnx") == 0.625
