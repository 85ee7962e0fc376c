"""Self-test vectors: inputs that every machine makes alike."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.errors import ModelFileError
from runtime.model.self_test import FORMULAS, make_input


@pytest.mark.parametrize("formula", FORMULAS)
def test_self_test_inputs_are_exact_numbers_in_range(formula: str) -> None:
    first, again = (make_input(formula, 5, (1, 1, 256, 64)) for _ in range(2))
    assert first.dtype == np.float32 and first.shape == (1, 1, 256, 64)
    assert np.array_equal(first, again) and not np.array_equal(first, make_input(formula, 6, (1, 1, 256, 64)))
    assert np.array_equal(first * 64, np.round(first * 64)) and np.abs(first).max() <= 2
    with pytest.raises(ModelFileError, match="upgrade"):
        make_input("chirp", 0, (1, 1, 2, 2))
