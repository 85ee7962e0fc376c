"""Packs: a model.pt into one verified, stamped INT8 ONNX file."""
