"""INT8: the quantizer, ranges, rounding, conversion, PTQ, QAT and the sensitivity of layers."""
