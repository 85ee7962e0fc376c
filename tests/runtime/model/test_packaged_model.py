"""The packaged model: INT8, full size, and as exact in a stream as the tiny one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import runtime
from runtime.classifier import Model, load_model
from runtime.cli.main import main

MODEL = Path(runtime.__file__).parent / "models" / "esc10.onnx"
pytestmark = pytest.mark.skipif(not MODEL.is_file(), reason="this tree carries no model")


@pytest.fixture(scope="module")
def packaged() -> Model:
    return load_model()


def test_it_is_small_int8_and_right_on_this_machine(packaged: Model) -> None:
    assert packaged.spec.quantization["scheme"] == "int8" and len(packaged.labels) == 10
    assert packaged.session.optimization == "ALL" and packaged.spec.self_test_vectors
    assert MODEL.stat().st_size <= 180_000


def test_its_stream_has_the_bits_of_classify(packaged: Model, noise: np.ndarray) -> None:
    stream, rng, position = packaged.stream(0.125), np.random.default_rng(0), 0
    predictions = []
    while position < len(noise):
        size = int(rng.integers(1, 9000))
        predictions += stream.push(noise[position : position + size])
        position += size
    assert len(predictions) == 25
    for prediction in predictions:
        start = round(prediction.start_s * 32_000)
        assert prediction.scores == packaged.classify(noise[start : start + 32_000], 32_000).scores


def test_many_streams_have_the_bits_of_one(packaged: Model, noise: np.ndarray) -> None:
    parts = [noise[shift : shift + 64_000] * np.float32(gain) for shift, gain in zip(
        range(0, 64_000, 8000), (0.5, 1, 0, 2, 1, 0.1, 1, 3), strict=True)]  # fmt: skip
    streams = packaged.streams(8, hop_s=0.5)
    together = streams.push(parts)
    for part, predictions in zip(parts, together, strict=True):
        assert predictions == packaged.stream(0.5).push(part)


def test_it_is_the_default(tmp_path: Path, noise: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "a.wav", noise, 32_000)
    assert main(["classify", str(tmp_path / "a.wav"), "--json"]) == 0
    clip = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert clip["label"] in load_model().labels and sum(clip["scores"].values()) == pytest.approx(1)
