"""Weights for INT8: channels equalized, values rounded for the output, biases corrected."""
