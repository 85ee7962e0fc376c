"""Whether a state_dict is that of a network: the first differences as a half-sentence."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from train.checkpoints.state_dict import list_keys


def misfit(state: Mapping[str, Tensor], network: nn.Module) -> str | None:
    """What keeps a state_dict out of a network, with keys and shapes; None where it fits."""
    expected = network.state_dict()
    for key, value in state.items():
        if key in expected and value.shape != expected[key].shape:
            return f"'{key}' is {list(value.shape)} where {list(expected[key].shape)} is expected"
    if foreign := {key: value for key, value in state.items() if key not in expected}:
        return f"the student has no {list_keys(foreign)}"
    if missing := {key: value for key, value in expected.items() if key not in state}:
        return f"{list_keys(missing)} is missing"
    return None


def not_finite(state: Mapping[str, Tensor]) -> str | None:
    """The first weight with NaN or infinity, with its count; None where all are finite."""
    for key, value in state.items():
        if value.is_floating_point() and not (finite := torch.isfinite(value)).all():
            count = int((~finite).sum())
            return f"'{key}' {list(value.shape)} has {count} of {value.numel()} values that are not finite"
    return None
