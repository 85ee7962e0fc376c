"""What a contestant is, and the list of them."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Environment = Literal["project", "peers", "products", "executorch"]
Made = Environment | Literal["onnx2tf"]  # the last for a converter


class Contestant(ABC):
    """One way from a waveform to probabilities, on one thread.

    Args:
        folder: of the files that `artefacts` makes, all of the same weights.
    """

    @abstractmethod
    def __init__(self, folder: Path) -> None: ...

    @abstractmethod
    def front_end(self, waveform: Array) -> Any:
        """[samples] at the model's rate -> what `network` takes."""

    @abstractmethod
    def network(self, log_mel: Any) -> Array:
        """The front end's result -> logits [classes]."""

    def probabilities(self, waveform: Array) -> Array:
        """[samples] -> probabilities [classes]."""
        logits = self.network(self.front_end(waveform))
        powers = np.exp(logits - logits.max())
        result: Array = powers / powers.sum()
        return result


@dataclass(frozen=True)
class Entry:
    """A contestant of the list.

    Attributes:
        title: in tables.
        place: ``module:class`` within this package.
        arithmetic: ``FP32`` or ``INT8``.
        environment: where its packages are.
        packages: distributions that its user installs, without their dependencies.
        file: that it needs in the folder of artefacts; where it is missing the contestant does not run.
        ours: whether it is this project's.
    """

    title: str
    place: str
    arithmetic: Literal["FP32", "INT8"]
    environment: Environment
    packages: tuple[str, ...]
    file: str
    ours: bool = False


ENTRIES = {
    "native": Entry(
        "this runtime, compiled C", "ours:Native", "INT8", "project", ("numpy",), "libmodel.so", True
    ),
    "ort_int8": Entry(
        "this runtime, ONNX Runtime", "ours:OrtInt8", "INT8", "project",
        ("numpy", "scipy", "onnxruntime"), "int8.onnx", True,
    ),
    "ort_fp32": Entry(
        "this runtime, ONNX Runtime", "ours:OrtFp32", "FP32", "project",
        ("numpy", "scipy", "onnxruntime"), "fp32.onnx", True,
    ),
    "torch_eager": Entry(
        "the reference systems' way: torch mel, eager", "in_torch:Eager", "FP32", "project",
        ("torch",), "weights.pt",
    ),
    "torch_compile": Entry(
        "torch mel, torch.compile", "in_torch:Compiled", "FP32", "project", ("torch",), "weights.pt"
    ),
    "torch_int8": Entry(
        "torch mel, torch's INT8 (PT2E, inductor)", "in_torch:Int8", "INT8", "project",
        ("torch", "torchao"), "torch_int8.pt2",
    ),
    "ort_torchaudio": Entry(
        "torchaudio mel, ONNX Runtime as it is", "by_hand:Torchaudio", "FP32", "project",
        ("torch", "torchaudio", "onnxruntime"), "fp32.onnx",
    ),
    "ort_librosa": Entry(
        "librosa mel, ONNX Runtime as it is", "by_hand:Librosa", "FP32", "peers",
        ("librosa", "onnxruntime"), "fp32.onnx",
    ),
    "openvino_fp32": Entry(
        "librosa mel, OpenVINO", "engines:OpenVinoFp32", "FP32", "peers", ("librosa", "openvino"), "fp32.onnx"
    ),
    "openvino_int8": Entry(
        "librosa mel, OpenVINO, our INT8 graph", "engines:OpenVinoInt8", "INT8", "peers",
        ("librosa", "openvino"), "int8.onnx",
    ),
    "ncnn": Entry(
        "librosa mel, ncnn", "engines:Ncnn", "FP32", "peers", ("librosa", "ncnn"), "fp32.ncnn.param"
    ),
    "litert": Entry(
        "librosa mel, LiteRT (XNNPACK)", "engines:LiteRt", "FP32", "peers",
        ("librosa", "ai-edge-litert"), "fp32.tflite",
    ),
    "executorch": Entry(
        "torch mel, ExecuTorch (XNNPACK)", "in_torch:ExecuTorch", "FP32", "executorch",
        ("torch", "executorch"), "fp32.pte",
    ),
}  # fmt: skip

# Other products, each doing its own job on the same second: no parity, and no ratio to ours
PRODUCTS = {
    "silero_vad": Entry(
        "silero-vad: speech or not, 31 chunks of 32 ms", "products:Silero", "FP32", "products",
        ("silero-vad", "onnxruntime"), "waveforms.npy",
    ),
    "yamnet_litert": Entry(
        "YAMNet (its network with random weights) in LiteRT: 521 classes of AudioSet", "products:YamNet",
        "FP32", "products", ("librosa", "ai-edge-litert"), "yamnet.tflite",
    ),
    "sherpa_onnx": Entry(
        "audio tagging of sherpa-onnx (a CED-tiny with random weights): 527 classes of AudioSet",
        "products:SherpaOnnx", "FP32", "products", ("sherpa-onnx",), "ced/model.onnx",
    ),
}  # fmt: skip


def load(name: str, folder: Path) -> Contestant:
    """Make a contestant in this process."""
    module, _, attribute = (ENTRIES | PRODUCTS)[name].place.partition(":")
    made: Contestant = getattr(importlib.import_module(f"benchmarks.side_by_side.ways.{module}"), attribute)(
        folder
    )
    return made
