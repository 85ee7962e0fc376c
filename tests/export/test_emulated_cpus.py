"""An INT8 file gives the same logits on every CPU."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from runtime.errors import ModelFileError
from runtime.model.model_file import SPEC_KEY
from runtime.model.session import Session
from train.checkpoints.model_pt import Checkpoint


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("apt-get"), reason="emulators come from Debian packages")
def test_avx2_and_aarch64_are_bit_equal(int8_onnx: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    from benchmarks.int8_emulated_cpus import build, compare

    folder = Path(os.environ.get("EMULATED_DIR", tmp_path))  # holds the packages from run to run
    rows = compare(int8_onnx, checkpoint.calibration.float().numpy(), build(folder), tmp_path)
    assert len(rows) == 4
    for row in rows:
        if "1.22" in row["machine"]:  # runs some convolutions in float on aarch64
            assert row["steps_at_most"] <= 3 and row["labels_equal"] >= 0.995
        else:
            assert row["bit_equal"], row


def test_self_check_refuses_a_corrupted_graph(int8_onnx: Path, tmp_path: Path) -> None:
    """One weight with the sign flipped, as by a kernel that miscomputes it; it has no checksum."""
    model = onnx.load(int8_onnx)
    spec = next(entry.value for entry in model.metadata_props if entry.key == SPEC_KEY)
    weight = next(
        t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4
    )
    values = onnx.numpy_helper.to_array(weight).copy()
    values[values == values.max()] *= -1
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.helper.set_model_props(model, {SPEC_KEY: spec})  # without the checksum
    path = tmp_path / "corrupted.onnx"
    onnx.save(model, path)
    with (
        pytest.warns(UserWarning, match="fewer graph optimizations"),
        pytest.raises(ModelFileError, match="wrong answers"),
    ):
        Session(path)


def test_self_check_steps_down_where_optimizations_are_wrong(
    int8_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels that miscompute only what is fused: simulated on the logits of the optimized session."""
    correct = Session.logits

    def miscomputed(self: Session, log_mel: np.ndarray) -> np.ndarray:
        logits = correct(self, log_mel)
        return logits if self.optimization == "DISABLE_ALL" else logits + 1.0

    monkeypatch.setattr(Session, "logits", miscomputed)
    with pytest.warns(UserWarning, match="fewer graph optimizations"):
        session = Session(int8_onnx)
    assert session.optimization == "DISABLE_ALL"


def test_self_test_vectors_are_bit_equal(int8_onnx: Path) -> None:
    """The runtime allows 2.5 output steps, for layers that stay float; integers need none."""
    from runtime.model.self_test import make_input

    session = Session(int8_onnx)
    assert len(session.spec.self_test_vectors) >= 3
    for vector in session.spec.self_test_vectors:
        logits = session.logits(make_input(vector.formula, vector.seed, session.spec.input_shape))[0]
        assert logits.tolist() == list(vector.logits)
