"""Random draws that several augmentations share; the generator decides all of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def generator_for(*key: int) -> torch.Generator:
    """A CPU generator that depends on the key alone, e.g. (seed, epoch, batch)."""
    return torch.Generator().manual_seed(
        int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)
    )


def uniform(count: int, generator: torch.Generator) -> Tensor:
    """[count] numbers, uniform in [0, 1)."""
    return torch.rand(count, generator=generator)


def uniform_between(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    """[count] numbers, uniform in [low, high)."""
    return low + (high - low) * uniform(count, generator)


def beta(count: int, alpha: float, generator: torch.Generator) -> Tensor:
    """[count] weights from Beta(alpha, alpha), each the larger of w and 1 - w: an example's own share."""
    gammas = torch._standard_gamma(torch.full((2, count), alpha), generator=generator)
    share = gammas[0] / gammas.sum(0).clamp_min(1e-12)
    return torch.maximum(share, 1 - share)
