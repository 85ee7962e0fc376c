"""Weights rounded for their layer's output."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from train.quantization.qparams import weight_scales
from train.quantization.quantizer import WEIGHT_RANGES
from train.quantization.weights.gptq import round_weight


@pytest.mark.parametrize("name", WEIGHT_RANGES)
@pytest.mark.parametrize("groups", [1, 4])
def test_rounded_weights_are_integers_in_range_and_err_less(name: str, groups: int) -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(24, 24, generator=generator)
    x = 1.0 + torch.randn(groups, 500, 24, generator=generator) @ mixing  # correlated, and not centred
    weight = torch.randn(8, 24, generator=generator)
    moments = torch.einsum("gnk,gnl->gkl", x, x).double()
    scales = weight_scales(weight, WEIGHT_RANGES[name])
    rounded = round_weight(weight, scales, moments, WEIGHT_RANGES[name])
    integers = rounded / scales[:, None]
    low, high = WEIGHT_RANGES[name]
    torch.testing.assert_close(integers, integers.round(), atol=1e-4, rtol=0)
    assert integers.min() > low - 0.5 and integers.max() < high + 0.5
    nearest = (weight / scales[:, None]).round().clamp(low, high) * scales[:, None]

    def error(candidate: torch.Tensor) -> float:
        rows = (candidate - weight).reshape(groups, -1, 24)
        return float(torch.einsum("gnk,gok->gno", x, rows).square().mean())

    assert error(rounded) < 0.7 * error(nearest)


def test_inputs_that_are_always_zero_do_no_harm() -> None:
    weight = torch.randn(4, 9)
    scales = weight_scales(weight, (-64, 63))
    rounded = round_weight(weight, scales, torch.zeros(1, 9, 9, dtype=torch.float64), (-64, 63))
    assert torch.isfinite(rounded).all()


def test_scales_stay_usable_for_a_channel_of_zeros() -> None:
    weight = torch.cat([torch.zeros(1, 9), torch.ones(1, 9)])
    assert (weight_scales(weight, (-64, 63)) > 0).all()


def test_strided_average_pool_is_the_convolution_that_replaces_it() -> None:
    from train.quantization.conversion import capture
    from train.quantization.graph.rewriting import replace_average_pools

    pool = torch.nn.AvgPool2d(3, (2, 1), padding=1)
    graph = replace_average_pools(capture(pool.eval(), (1, 4, 8, 8)))
    x = torch.randn(2, 4, 8, 8)
    assert not graph.graph.find_nodes(op="call_function", target=torch.ops.aten.avg_pool2d.default)
    torch.testing.assert_close(graph(x), F.avg_pool2d(x, 3, (2, 1), 1))
