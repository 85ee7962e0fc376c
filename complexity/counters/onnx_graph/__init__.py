"""An ONNX file: reading, shapes, branches, quantized forms, the cost of every operator, and the count."""
