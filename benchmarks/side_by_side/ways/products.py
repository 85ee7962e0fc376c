"""Other products on the same second of sound: what each does is its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.side_by_side.ways.contestant import Array, Contestant

_RATE, _CHUNK, _CONTEXT = 16_000, 512, 64  # of silero-vad


class Silero(Contestant):
    """silero-vad's network in ONNX Runtime as its own wrapper runs it: chunk after chunk, with a state."""

    def __init__(self, folder: Path) -> None:
        import importlib.util

        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        (package,) = importlib.util.find_spec("silero_vad").submodule_search_locations  # type: ignore[union-attr, misc]
        path = Path(package) / "data" / "silero_vad.onnx"
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def front_end(self, waveform: Array) -> Array:
        """[32,000 samples at 32 kHz] -> [chunks, samples] at 16 kHz; every second sample is enough here."""
        x = waveform[::2][: len(waveform) // 2 // _CHUNK * _CHUNK]
        return np.ascontiguousarray(x.reshape(-1, _CHUNK))

    def network(self, log_mel: Array) -> Array:
        """[chunks, samples] -> the probabilities of speech [chunks]."""
        state, context = np.zeros((2, 1, 128), np.float32), np.zeros((1, _CONTEXT), np.float32)
        rate, found = np.array(_RATE, np.int64), []
        for chunk in log_mel:
            x = np.concatenate([context, chunk[None]], axis=1)
            probability, state = self._session.run(None, {"input": x, "state": state, "sr": rate})
            context = x[:, -_CONTEXT:]
            found.append(float(probability[0, 0]))
        return np.array(found, np.float32)

    def probabilities(self, waveform: Array) -> Array:
        """[samples] -> the probabilities of speech [chunks]."""
        return self.network(self.front_end(waveform))
