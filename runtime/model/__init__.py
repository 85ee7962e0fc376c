"""The model file: what it holds, how ONNX Runtime runs it, how it tests itself, and what its logits mean."""
