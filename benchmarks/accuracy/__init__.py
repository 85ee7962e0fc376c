"""Accuracy of every student on every corpus, in four forms: FP32, PTQ INT8, QAT INT8 and compiled C."""
