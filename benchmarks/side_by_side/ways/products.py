"""Other products on the same second of sound: what each does is its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.side_by_side.ways.contestant import Array, Contestant

_RATE = 16_000  # of all of them; the clip has 32,000 Hz, and every second sample is enough here
_CHUNK, _CONTEXT = 512, 64  # of silero-vad, samples


class Product(Contestant):
    """A product: what `network` returns is its answer."""

    def front_end(self, waveform: Array) -> Array:
        """[32,000 samples at 32 kHz] -> [16,000 samples]."""
        return np.ascontiguousarray(waveform[::2])

    def probabilities(self, waveform: Array) -> Array:
        """[samples] -> its probabilities."""
        return self.network(self.front_end(waveform))


class Silero(Product):
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
        """[32,000 samples at 32 kHz] -> [chunks, samples] at 16 kHz."""
        x = super().front_end(waveform)
        return x[: len(x) // _CHUNK * _CHUNK].reshape(-1, _CHUNK)

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


class YamNet(Product):
    """YAMNet's network in LiteRT on the log-mel that it takes, computed by librosa."""

    def __init__(self, folder: Path) -> None:
        import librosa
        from ai_edge_litert.interpreter import Interpreter

        self._stft = librosa.stft
        self._filters = librosa.filters.mel(
            sr=_RATE, n_fft=512, n_mels=64, fmin=125, fmax=7500, htk=True, norm=None
        )
        self._interpreter = Interpreter(str(folder / "yamnet.tflite"), num_threads=1)
        self._interpreter.allocate_tensors()
        (entry,), (exit_,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._input, self._output, self._shape = entry["index"], exit_["index"], entry["shape"]

    def front_end(self, waveform: Array) -> Array:
        """[32,000 samples at 32 kHz] -> a patch [96 frames, 64 mels], of 25 ms every 10 ms."""
        x = super().front_end(waveform)
        magnitudes = np.abs(self._stft(x, n_fft=512, hop_length=160, win_length=400, center=False))
        log_mel: Array = np.log(self._filters @ magnitudes[:, :96] + 0.001).T.astype(np.float32)
        return log_mel

    def network(self, log_mel: Array) -> Array:
        """-> probabilities [521]."""
        self._interpreter.set_tensor(self._input, log_mel.reshape(self._shape))
        self._interpreter.invoke()
        scores: Array = self._interpreter.get_tensor(self._output)[0]
        return scores


class SherpaOnnx(Product):
    """sherpa-onnx's audio tagging, features included, with a CED."""

    def __init__(self, folder: Path) -> None:
        import sherpa_onnx

        labels = folder / "ced" / "class_labels_indices.csv"
        self._tagging = sherpa_onnx.AudioTagging(
            sherpa_onnx.AudioTaggingConfig(
                model=sherpa_onnx.AudioTaggingModelConfig(
                    ced=str(folder / "ced" / "model.onnx"), num_threads=1
                ),
                labels=str(labels),
                top_k=len(labels.read_text().splitlines()) - 1,
            )
        )

    def network(self, log_mel: Array) -> Array:
        """[samples] -> probabilities [527], in the order of the labels."""
        stream = self._tagging.create_stream()
        stream.accept_waveform(_RATE, log_mel)
        events = sorted(self._tagging.compute(stream), key=lambda event: int(event.index))
        return np.array([event.prob for event in events], np.float32)
