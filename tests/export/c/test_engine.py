"""The shared library as an engine of the runtime."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from runtime import load_model
from runtime.errors import ConfigError, ModelFileError
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def waveform() -> np.ndarray:
    return np.random.default_rng(3).normal(scale=0.1, size=8000 * 3 + 77).astype(np.float32)


def test_it_predicts_what_the_onnx_file_predicts(student, library, waveform):
    onnx_model, native = load_model(student("cp_mobile")), load_model(library("cp_mobile"))
    assert (native.spec, native.labels) == (onnx_model.spec, onnx_model.labels)
    pairs = zip(
        native.windows(waveform, 8000, hop_s=0.25),
        onnx_model.windows(waveform, 8000, hop_s=0.25),
        strict=True,
    )
    for actual, expected in pairs:
        assert (actual.label, actual.start_s, actual.state) == (
            expected.label,
            expected.start_s,
            expected.state,
        )
        np.testing.assert_allclose(list(actual.scores.values()), list(expected.scores.values()), atol=0.05)


def test_a_stream_has_the_predictions_of_the_whole_waveform(library, waveform):
    model = load_model(library("cp_mobile"))
    expected = model.windows(waveform, 8000, hop_s=0.25)
    stream = model.stream(hop_s=0.25)
    actual = [p for start in range(0, len(waveform), 333) for p in stream.push(waveform[start : start + 333])]
    assert actual + stream.flush() == expected


def test_many_streams_share_it(library, waveform):
    model = load_model(library("cp_mobile"))
    streams = model.streams(3, hop_s=1.0)
    for predictions in streams.push(np.stack([waveform] * 3)):
        assert [p.scores for p in predictions] == [
            p.scores for p in model.windows(waveform, 8000, hop_s=1.0)
        ][:3]


def test_it_needs_neither_onnxruntime_nor_scipy(library):
    probe = f"""
import sys
for name in ("onnxruntime", "scipy", "onnx", "torch"):
    sys.modules[name] = None
import numpy as np
from runtime import load_model
model = load_model({str(library("cp_mobile"))!r})
print(model.classify(np.ones(8000, np.float32) * np.sin(np.arange(8000, dtype=np.float32)), 8000).label)
"""
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0 and done.stdout.strip() in ("low", "middle", "high"), done.stderr


def test_it_takes_no_threads(library):
    with pytest.raises(ConfigError, match="one thread"):
        load_model(library("cp_mobile"), threads=2)


def test_a_wrong_answer_is_refused_at_load(library, tmp_path):
    damaged, key = bytearray(library("cp_mobile").read_bytes()), b'"logits": ['
    place = damaged.index(key) + len(key)  # of the first logit of the first self-test vector
    damaged[place : place + 2] = b"99"
    path = tmp_path / "libmodel.so"
    path.write_bytes(damaged)
    with pytest.raises(ModelFileError, match="wrong answers"):
        load_model(path)
