"""Scales that leave no ties: fractions with odd denominators, and powers of two."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from train.quantization.qparams import (
    activation_parameters,
    off_ties,
    power_of_two,
    weight_scales,
    whole_parts,
)

_RATIOS = torch.logspace(-6, 1, 4001, dtype=torch.float64)


def test_ratios_become_odd_fractions_slightly_above() -> None:
    for ratio, fraction in zip(_RATIOS.tolist(), off_ties(_RATIOS).tolist(), strict=True):
        assert ratio <= fraction * (1 + 1e-12) <= 1.01 * ratio
        assert Fraction(fraction).limit_denominator(max(1023, int(1.01 / ratio))).denominator % 2 == 1


def test_float32_cannot_carry_a_sum_over_a_tie() -> None:
    """Products of a sum in float32, as torch and unoptimized kernels compute it, against integers."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (4000, 216), generator=generator)
    weight = torch.randint(-64, 64, (8, 216), generator=generator)
    x_scale, result_scale = 0.0231, 0.0417
    scales = weight_scales(weight * 1e-4, (-64, 63), result_scale / x_scale)
    exact = (x.double() @ weight.double().T * (scales.double() * x_scale / result_scale)).round()
    in_float = ((x * x_scale) @ (weight * scales[:, None]).T / result_scale).round()
    assert torch.equal(exact.float(), in_float)
    assert exact.unique().numel() > 100


def test_weight_that_hardly_matters_keeps_a_scale_that_does() -> None:
    """A channel of tiny weights would ask for a denominator that float32 does not resolve."""
    scales = weight_scales(torch.tensor([[1.0], [1e-4], [0.0]]), (-64, 63), step=0.5)
    assert (scales / 0.5 >= 1 / 1023 - 1e-9).all()


@pytest.mark.parametrize("ratio", [0.001, 0.4, 1.0, 1.7])
def test_parts_of_a_sum_are_whole(ratio: float) -> None:
    parts = 127 * whole_parts(ratio)
    assert parts == pytest.approx(round(parts)) and ratio <= whole_parts(ratio) <= ratio + 1 / 127


def test_power_of_two_divides_as_exactly_as_it_multiplies() -> None:
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    for scale in (0.0157, 0.0166, 1.0, 3.1):
        step = power_of_two(scale)
        assert 15 / 16 * scale <= step < 15 / 8 * scale
        assert torch.equal((x / step).round(), (x * (1 / step)).round())


def test_scale_that_was_chosen_moves_the_zero_point_along() -> None:
    assert activation_parameters((-1.0, 2.0), scale=1 / 64) == (1 / 64, 64)
