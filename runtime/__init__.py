"""Hears: from a waveform, a file or a microphone to labels, with numpy and ONNX Runtime alone."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.classifier import load_model as load_model

__all__ = ["load_model"]


def __getattr__(name: str) -> Any:  # importing the room stays light
    if name not in __all__:
        raise AttributeError(f"module 'runtime' has no attribute {name!r}")
    return __import__("runtime.classifier", fromlist=[name]).load_model
