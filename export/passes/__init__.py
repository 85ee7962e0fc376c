"""Graph passes over an exported ONNX model; each one changes the graph in place, never its result."""
