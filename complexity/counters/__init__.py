"""Counters of torch modules, ONNX files and TFLite files, and tables with the cost of every operator.

By the official rule: ``torchinfo_count`` (modules with weights) and ``uncounted_operations`` (what the rule
reads as zero: GRN, attention, every functional operation). As executed: ``torch_trace``, ``onnx_graph``,
``tflite_file``, with the costs in ``aten_operators``, ``onnx_graph.operators``, ``tflite_operators``.
"""
