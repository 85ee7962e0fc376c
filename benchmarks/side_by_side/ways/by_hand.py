"""What one writes by hand for an .onnx file: features of an audio library, and a session without options."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side.ways.contestant import Array, Contestant
from benchmarks.side_by_side.ways.front_end_file import read_front_end


class Librosa(Contestant):
    """librosa's STFT and a dense mel product; subclasses replace the session."""

    def __init__(self, folder: Path) -> None:
        import librosa

        self._stft = librosa.stft
        self._spec, self._filters, self._window = read_front_end(folder)
        self._load(folder)

    def _load(self, folder: Path) -> None:
        self._session = default_session(folder / "fp32.onnx")

    def front_end(self, waveform: Array) -> Array:
        """[samples] -> [1, 1, n_mels, frames]."""
        spec, x = self._spec, waveform[1:] - np.float32(self._spec.preemphasis) * waveform[:-1]
        spectrum = self._stft(
            x, n_fft=spec.n_fft, hop_length=spec.hop_length, win_length=spec.win_length,
            window=self._window, center=True, pad_mode=spec.pad_mode,
        )  # fmt: skip
        mel = self._filters @ (np.abs(spectrum) ** 2)
        log_mel: Array = (np.log(mel + spec.log_offset) - spec.mean) / spec.std
        return log_mel[None, None].astype(np.float32)

    def network(self, log_mel: Array) -> Array:
        """-> [classes]."""
        logits: Array = self._session.run(None, {"log_mel": log_mel})[0][0]
        return logits


class Torchaudio(Contestant):
    """torchaudio's Spectrogram and MelScale, the latter with this front end's mel filters."""

    def __init__(self, folder: Path) -> None:
        import torch

        transforms = torchaudio_transforms()
        torch.set_num_threads(1)
        self._torch, (self._spec, filters, window) = torch, read_front_end(folder)
        spec = self._spec
        self._spectrogram = transforms.Spectrogram(
            spec.n_fft, spec.win_length, spec.hop_length, pad_mode=spec.pad_mode,
            window_fn=lambda _: torch.from_numpy(window),
        )  # fmt: skip
        self._mel = transforms.MelScale(spec.n_mels, spec.sample_rate, n_stft=spec.n_fft // 2 + 1)
        self._mel.fb = torch.from_numpy(filters.T.copy())
        self._session = default_session(folder / "fp32.onnx")

    def front_end(self, waveform: Array) -> Array:
        """[samples] -> [1, 1, n_mels, frames]."""
        spec, torch = self._spec, self._torch
        with torch.inference_mode():
            x = torch.from_numpy(waveform)[None]
            mel = self._mel(self._spectrogram(x[:, 1:] - spec.preemphasis * x[:, :-1]))
            log_mel: Array = ((torch.log(mel + spec.log_offset) - spec.mean) / spec.std)[None].numpy()
            return log_mel

    def network(self, log_mel: Array) -> Array:
        """-> [classes]."""
        logits: Array = self._session.run(None, {"log_mel": log_mel})[0][0]
        return logits


def torchaudio_transforms() -> Any:
    """``torchaudio.transforms``, also beside a CPU build of torch.

    The compiled extension of PyPI's torchaudio is linked against CUDA and may not load; the plain Python
    parts work all the same once the module that loads it is replaced by one that says "not available".
    """
    try:
        return importlib.import_module("torchaudio.transforms")
    except OSError:
        for name in [name for name in sys.modules if name.startswith("torchaudio")]:
            del sys.modules[name]
        stub = types.ModuleType("torchaudio._extension")
        vars(stub).update(
            _IS_TORCHAUDIO_EXT_AVAILABLE=False,
            _IS_ALIGN_AVAILABLE=False,
            fail_if_no_align=lambda function: function,
        )
        sys.modules["torchaudio._extension"] = stub
        return importlib.import_module("torchaudio.transforms")


def default_session(path: Path) -> Any:
    """A session without options but that of one thread, which all contestants have."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
