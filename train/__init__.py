"""Teaches: data, front end in torch, students, training and quantization-aware training."""
