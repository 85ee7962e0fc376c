"""Which width of the same family would fit: found by counting, without any training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from complexity.budget import Budget
from complexity.counters.float_reference import float_reference, make_inputs
from complexity.counters.torchinfo_count import count_official

if TYPE_CHECKING:
    from torch import nn

# arguments of students that set a width, and the step in which they are searched
WIDTHS: dict[str, float] = {"base_channels": 8, "channels_multiplier": 0.1, "expansion_rate": 0.1, "width": 4}
_WIDEST = 4  # times the width that the model has: enough to fill a budget, small enough to build


@dataclass(frozen=True)
class Suggestion:
    """The largest value of one argument that fits, and what the network then costs by the rule."""

    argument: str
    value: float
    params: int
    macs: int

    def __str__(self) -> str:
        return f"{self.argument}={self.value:g} fits: {self.params:,} parameters, {self.macs:,} MACs."


def suggest(
    build: Callable[[Mapping[str, Any]], nn.Module],
    arguments: Mapping[str, Any],
    input_shape: Sequence[int],
    *,
    budget: Budget,
    element_bytes: int,
) -> list[Suggestion]:
    """Search each width by itself, up to four times the present one, the others left as they are.

    Args:
        build: makes the student from its arguments.
        arguments: all arguments of the student; those named in `WIDTHS` are varied.
        input_shape: shape of its input.
        budget: the limits.
        element_bytes: bytes of one stored parameter.

    Returns:
        One suggestion for each argument with which some value fits, the network with the most MACs first.
    """

    def try_steps(name: str, steps: int) -> Suggestion | None:
        value = type(WIDTHS[name])(round(steps * WIDTHS[name], 6))
        network = float_reference(build({**arguments, name: value}))
        layers = count_official(network, make_inputs(network, input_shape))
        params, macs = sum(layer.params for layer in layers), sum(layer.macs for layer in layers)
        left = budget.headroom(params=params, param_bytes=params * element_bytes, macs=macs)
        return Suggestion(name, value, params, macs) if min(left.values(), default=0) >= 0 else None

    found = [
        _largest(partial(try_steps, name), round(_WIDEST * arguments[name] / step))
        for name, step in WIDTHS.items()
        if name in arguments
    ]
    return sorted(filter(None, found), key=lambda suggestion: -suggestion.macs)


def _largest(fits: Callable[[int], Suggestion | None], most: int) -> Suggestion | None:
    """The last of 1..most steps that fits; cost grows with width, so bisection finds it."""
    low, high, best = 0, most + 1, None
    while high - low > 1:
        middle = (low + high) // 2
        suggestion = fits(middle)
        low, high = (middle, high) if suggestion else (low, middle)
        best = suggestion or best
    return best
