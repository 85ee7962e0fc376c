"""From a waveform, a file or a microphone to labels, with numpy and ONNX Runtime alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.classifier import load_model as load_model

__all__ = ["load_model"]


def __getattr__(name: str) -> Any:  # lazy: `import runtime` stays free of scipy and onnxruntime
    if name in __all__:
        return getattr(import_module("runtime.classifier"), name)
    raise AttributeError(f"module 'runtime' has no attribute {name!r}")
