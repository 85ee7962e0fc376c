"""INT8 for float ONNX files of any toolkit, by ONNX Runtime's static quantization."""

from export.quantize_onnx.quantize import QuantizedFile, quantize_onnx

__all__ = ["QuantizedFile", "quantize_onnx"]
