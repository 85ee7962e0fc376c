"""Arguments of a student from the shapes of its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

Shapes = Mapping[str, Sequence[int]]  # key of a state_dict to the shape of its tensor


def first_fitting(
    usual: Iterable[float], fits: Callable[[float], bool], lowest: float = 1.0, highest: float = 8.0
) -> float | None:
    """The first factor that gives the widths of the weights: a usual one, or a multiple of 0.05.

    Widths are rounded, so several factors give the same network; any of them will do.
    """
    steps = range(round(lowest * 20), round(highest * 20) + 1)
    return next((factor for factor in (*usual, *(step / 20 for step in steps)) if fits(factor)), None)
