"""A few of many, evenly spread over their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def evenly_spread(items: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of the items, evenly spread from the first to the last."""
    places = np.linspace(0, len(items) - 1, min(len(items), most)).astype(int)
    return [items[place] for place in np.unique(places)]
