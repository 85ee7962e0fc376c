"""Readers that count: torch modules, ONNX graphs, TFLite files, and the cost of every operator."""
