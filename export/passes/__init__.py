"""Graph passes over the exported ONNX model."""
