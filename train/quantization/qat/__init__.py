"""Quantization-aware training: fake quantizers, a network between them, its phases, its training loop."""
