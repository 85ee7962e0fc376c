"""The model file: what it holds, how ONNX Runtime runs it, its self-test, and what its logits mean."""
