"""Arithmetic of a fast Fourier transform, for front ends and for networks that hold one."""

from __future__ import annotations

import math


def fft_multiplications(length: int, *, real: bool) -> int:
    """Real multiplications of one radix-2 FFT (Cooley and Tukey, 1965).

    A complex one has n/2 * log2(n) butterflies, each with a complex product of four multiplications:
    2 n log2(n). A real one is a complex one of half the length, n/4 * log2(n/2) butterflies, and n/4
    products to unpack it: n log2(n). For a length that is no power of two this is an estimate.

    Args:
        length: number of samples, n.
        real: whether the input (or, for an inverse transform, the output) is real.
    """
    return round((1 if real else 2) * length * math.log2(length)) if length > 1 else 0


def fft_operations(length: int, *, real: bool) -> int:
    """Real multiplications and additions of one FFT: six additions go with four multiplications."""
    return fft_multiplications(length, real=real) * 5 // 2
