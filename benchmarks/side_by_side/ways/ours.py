"""This runtime, by its public API."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.side_by_side.ways.contestant import Array, Contestant
from runtime import load_model
from runtime.audio.log_mel import LogMel


class Ours(Contestant):
    """`load_model` and `Model.classify`, which also checks the samples and measures the level."""

    file: str

    def __init__(self, folder: Path) -> None:
        self._model = load_model(folder / self.file)
        self._rate = self._model.spec.frontend.sample_rate
        self._log_mel = self._model.session.front_end or LogMel(self._model.spec.frontend)

    def front_end(self, waveform: Array) -> Array:
        """[samples] -> [1, 1, n_mels, frames]."""
        log_mel: Array = self._log_mel(waveform)[None, None]
        return log_mel

    def network(self, log_mel: Array) -> Array:
        """-> [classes]."""
        logits: Array = self._model.session.logits(log_mel)[0]
        return logits

    def probabilities(self, waveform: Array) -> Array:
        """What a user calls."""
        scores = self._model.classify(waveform, self._rate).scores
        return np.array([scores[label] for label in self._model.labels], np.float32)


class Native(Ours):
    """The shared library of `python -m export c`."""

    file = "libmodel.so"


class OrtInt8(Ours):
    """The INT8 file of `python -m export onnx` in ONNX Runtime."""

    file = "int8.onnx"


class OrtFp32(Ours):
    """The float file of `python -m export onnx --quantize none` in ONNX Runtime."""

    file = "fp32.onnx"
