"""Benchmarks: speed, memory and accuracy, side by side with what others use."""
