"""Fixed-point numbers and the one rounding rule of the C code; see ARITHMETIC.md.

A real factor is stored as TensorFlow Lite stores it: an int32 multiplier in [2^30, 2^31) and a shift. The
product is rounded once, half up, as TensorFlow Lite does with ``TFLITE_SINGLE_ROUNDING`` (its default since
2.20) and CMSIS-NN with ``CMSIS_NN_USE_SINGLE_ROUNDING``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

LEAST, GREATEST = 0, 255  # of an activation
ACCUMULATOR_LIMIT = 2**31 - 1

_MULTIPLIER_BITS = 31
_GREATEST_SHIFT = 62
_DENOMINATOR = 1023  # the greatest that `train.quantization.qparams` chooses
_FLOAT_ERROR = 3 * 2.0**-24  # relative: of the accumulator, of the factor, and of their product in float32
_RESULT_LIMIT = 768.0  # results beyond it are clamped on either path, with or without their zero point
_SUM_ERROR = 8 * 2.0**-25  # relative to the greatest sum
_FACTOR_LIMIT = 0.5  # a greater factor of an int32 could leave int32


@dataclass(frozen=True, eq=False)
class Factor:
    """Real factors as integers: ``multiplier * 2 ** -shift``, one for each output channel or one for all.

    Attributes:
        multiplier: int64 [n], each in [2^30, 2^31), or 0.
        shift: int64 [n], each in 1..62.
        off_ties: no integer times a factor lies so near a tie that float32 could round it otherwise, so a
            kernel may compute the product in float32 and give the same integers.
    """

    multiplier: Integers
    shift: Integers
    off_ties: bool

    @classmethod
    def of(cls, ratios: Sequence[float] | npt.NDArray[Any] | float) -> Factor:
        """The nearest factors to positive ratios.

        Raises:
            ValueError: where a ratio is not positive, or is 2^30 or more.
        """
        pairs = [_split(float(ratio)) for ratio in np.atleast_1d(np.asarray(ratios, np.float64))]
        multiplier, shift = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
        return cls(multiplier, shift, all(_is_off_ties(m * 2.0**-s) for m, s in pairs))

    def scale(self, accumulator: Integers) -> Integers:
        """Round ``accumulator * factor`` to the nearest integer, halves up; channels are the last axis."""
        one = np.int64(1)
        product: Integers = accumulator * self.multiplier + (one << (self.shift - one))
        return product >> self.shift


def _split(ratio: float) -> tuple[int, int]:
    if not 0 < ratio < 2.0 ** (_MULTIPLIER_BITS - 1):
        raise ValueError(f"a factor of {ratio}")
    mantissa, exponent = math.frexp(ratio)
    multiplier, shift = round(mantissa * 2**_MULTIPLIER_BITS), _MULTIPLIER_BITS - exponent
    if multiplier == 2**_MULTIPLIER_BITS:
        multiplier, shift = multiplier // 2, shift - 1
    if shift > _GREATEST_SHIFT:  # TensorFlow Lite flushes such factors to zero as well
        return 0, _GREATEST_SHIFT
    return multiplier, shift


def _is_off_ties(factor: float) -> bool:
    """Whether a factor is a fraction with a small odd denominator d, as near as float32 scales express it.

    An integer times n/d is a multiple of 1/d, at least 1/2d from a tie. Float32 rounds alike where its own
    error, and that of the factor, stay below that for every result that is not clamped.
    """
    denominators = np.arange(1, _DENOMINATOR + 1, 2, dtype=np.float64)
    numerators = np.rint(factor * denominators)
    distance = np.abs(factor - numerators / denominators) / max(factor, 1e-300)
    errors = _RESULT_LIMIT * (distance + _FLOAT_ERROR)
    is_near = (numerators > 0) & (errors < 0.5 / denominators)
    return factor <= _FACTOR_LIMIT and bool(is_near.any())


@dataclass(frozen=True)
class Sum:
    """``(a * first + b * second + offset) >> shift`` in int32: a sum of two scaled activations, rounded once.

    Attributes:
        first: integer factor of the first activation.
        second: of the second one; 0 for a constant, which the offset holds.
        offset: zero points, constant, half a step for the rounding, and the zero point of the result.
        shift: bits after the binary point.
    """

    first: int
    second: int
    offset: int
    shift: int

    @classmethod
    def of(cls, first: tuple[float, int], second: tuple[float, int], zero: int, constant: float = 0.0) -> Sum:
        """The sum with the most bits that cannot overflow.

        Args:
            first: scale over that of the result, and zero point, of the first activation.
            second: the same of the second one; a scale of 0 leaves it out.
            zero: zero point of the result.
            constant: added, in steps of the result.

        Raises:
            ValueError: where the factors are so large that int32 cannot hold the sum.
        """
        for shift in range(30, 0, -1):
            a, b = (round(scale * 2**shift) for scale, _ in (first, second))
            offset = round(constant * 2**shift) - a * first[1] - b * second[1]
            offset += (zero << shift) + (1 << (shift - 1))
            corners = [offset + a * x + b * y for x in (LEAST, GREATEST) for y in (LEAST, GREATEST)]
            partial = [abs(offset), GREATEST * abs(a), GREATEST * abs(b), abs(offset) + GREATEST * abs(a)]
            if max(*map(abs, corners), *partial) <= ACCUMULATOR_LIMIT:
                return cls(a, b, offset, shift)
        raise ValueError(f"factors {first[0]} and {second[0]}")

    @property
    def off_ties(self) -> bool:
        """Whether float32 rounds every sum to the same integer, however it orders the additions.

        All pairs of activations are tried. Each factor, and each of up to four operations, is off by half a
        unit in the last place of the greatest sum at most.
        """
        one = 1 << self.shift
        activations = np.arange(LEAST, GREATEST + 1, dtype=np.int64)
        second = activations if self.second else activations[:1]
        sums = activations[:, None] * self.first + second * self.second + self.offset
        inside = (sums > -one) & (sums < (GREATEST + 1) * one)  # others are clamped on either path
        to_tie = np.minimum(sums % one, one - sums % one)[inside]
        greatest = GREATEST * (abs(self.first) + abs(self.second)) + abs(self.offset) + one
        return bool((to_tie > _SUM_ERROR * greatest).all())

    def scale(self, first: Integers, second: Integers | int) -> Integers:
        """The rounded sum, not yet clamped."""
        return (first * self.first + second * self.second + self.offset) >> self.shift
