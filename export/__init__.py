"""Export: a model.pt becomes one verified .onnx file for the runtime."""
