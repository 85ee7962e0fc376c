"""Ranges from streams: constant memory, any order of batches, and what each method is for."""

from __future__ import annotations

import pytest
import torch

from runtime.errors import ModelFileError
from train.quantization.observers import OBSERVERS, HistogramObserver, mse, percentile
from train.quantization.qparams import activation_parameters


def _observe(values: torch.Tensor, batches: int) -> HistogramObserver:
    observer = HistogramObserver("value")
    for batch in values.chunk(batches):
        observer(batch)
    return observer


@pytest.fixture
def values() -> torch.Tensor:
    """Half-normal as after a ReLU, with one outlier."""
    values = torch.randn(100_000, generator=torch.Generator().manual_seed(0)).relu()
    values[77] = 40.0
    return values


@pytest.mark.parametrize("name", OBSERVERS)
def test_range_does_not_depend_on_the_order_of_batches(name: str, values: torch.Tensor) -> None:
    there, back = _observe(values, 10), _observe(values.flip(0), 1000)
    assert OBSERVERS[name](there) == OBSERVERS[name](back)


def test_memory_does_not_grow_with_the_data(values: torch.Tensor) -> None:
    assert _observe(values, 2).counts.shape == _observe(values.repeat(5), 50).counts.shape


def test_counts_survive_a_growing_range() -> None:
    observer = HistogramObserver("value")
    small, large = torch.linspace(-0.9, 0.9, 1000), torch.tensor([1000.0])
    observer(small)
    observer(large)
    assert observer.counts.sum() == 1001
    assert observer.range() == (pytest.approx(-0.9), 1000.0)


def test_outliers_are_clipped_by_percentile_and_mse_only(values: torch.Tensor) -> None:
    observer = _observe(values, 10)
    assert OBSERVERS["minmax"](observer) == (0.0, 40.0)
    assert 3 < percentile(observer)[1] < 5
    assert mse(observer)[1] < 40


def test_mse_errs_less_than_minmax_and_percentile() -> None:
    values = torch.distributions.Laplace(0.0, 1.0).icdf(torch.linspace(1e-6, 1 - 1e-6, 100_000))
    observer = _observe(values, 10)

    def error(name: str) -> float:
        scale, zero_point = activation_parameters(OBSERVERS[name](observer))
        rounded = torch.fake_quantize_per_tensor_affine(values, scale, zero_point, 0, 255)
        return float((rounded - values).square().mean())

    assert error("mse") < min(error("minmax"), error("percentile"))


def test_zero_is_exact_in_every_range() -> None:
    for value_range in ((-1.3, 2.1), (0.5, 2.0), (-3.0, -1.0), (0.0, 0.0)):
        scale, zero_point = activation_parameters(value_range)
        assert 0 <= zero_point <= 255
        assert scale > 0


def test_numbers_that_are_not_finite_are_refused_by_name() -> None:
    with pytest.raises(ModelFileError, match=r"block\.3"):
        HistogramObserver("block.3")(torch.tensor([1.0, float("nan")]))
