"""Operators that move integers and change none: reshape, transpose, split and concatenation.

They are followed symbolically, so that a shuffle of channels and the split after it become one operator, and
a change between channels and positions (`export.passes.space_to_depth`) becomes none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from export.c.expressions import Integers

_TO_CHANNELS_LAST, _FROM_CHANNELS_LAST = [0, 2, 3, 1], [0, 3, 1, 2]
_AXES = 4  # batch, channels, height, width


class MoveError(Exception):
    """The integers move in a way that channels-last memory cannot follow."""


def reshape(x: Integers, target: Sequence[int]) -> Integers:
    """ONNX's Reshape of a known shape; the batch stays."""
    if x.flat or 0 in target[1:]:  # 0 copies the length of an axis
        raise MoveError
    size = math.prod(x.shape[1:])
    shape = [x.shape[0], *(size if entry < 0 else int(entry) for entry in target[1:])]
    known = math.prod(entry for entry, raw in zip(shape[1:], target[1:], strict=True) if raw >= 0)
    shape = [size // known if raw < 0 and index else entry
             for index, (entry, raw) in enumerate(zip(shape, target, strict=True))]  # fmt: skip
    if math.prod(shape[1:]) != size:
        raise MoveError
    if x.channels_last or (x.shape[1] == 1 and len(shape) == _AXES and tuple(shape[2:]) != x.shape[2:]):
        # with one channel the order of memory is that of ONNX
        return replace(x, shape=tuple(shape), channels_last=True)
    if len(shape) == 2 and len(x.shape) == _AXES and x.shape[2:] == (1, 1):
        return replace(x, shape=(*shape, 1, 1))
    if len(shape) == 2 and is_whole(x):
        return replace(x, shape=tuple(shape), flat=True)
    channels = len(shape) - 3 if tuple(shape[-2:]) == tuple(x.shape[-2:]) else 0
    if channels < 1 or math.prod(shape[1 : 1 + channels]) != x.places[..., 0].size:
        raise MoveError
    return replace(x, shape=tuple(shape), places=x.places.reshape(*shape[1 : 1 + channels], 2))


def transpose(x: Integers, order: Sequence[int]) -> Integers:
    """ONNX's Transpose: of groups of channels, or between the order of ONNX and that of memory."""
    shape = tuple(x.shape[axis] for axis in order)
    if x.channels_last:
        if list(order) != _FROM_CHANNELS_LAST:
            raise MoveError
        return replace(x, shape=shape)
    if list(order) == _TO_CHANNELS_LAST and is_whole(x):
        return replace(x, shape=shape, channels_last=True)
    axes, last = [axis - 1 for axis in order[1:-2]], len(order)
    if order[0] != 0 or list(order[-2:]) != [last - 2, last - 1] or len(axes) != x.places.ndim - 1:
        raise MoveError
    return replace(x, shape=shape, places=x.places.transpose(*axes, len(axes)))


def split(x: Integers, sizes: Sequence[int]) -> list[Integers]:
    """ONNX's Split along channels."""
    if x.channels_last or x.flat or x.places.ndim != 2 or sum(sizes) != len(x.places):
        raise MoveError
    parts = np.split(x.places, np.cumsum(sizes)[:-1])
    return [replace(x, places=part, shape=(x.shape[0], len(part), *x.shape[2:])) for part in parts]


def concatenate(parts: Sequence[Integers]) -> Integers:
    """ONNX's Concat along channels, of integers that mean the same."""
    first = parts[0]
    for part in parts:
        same = (part.scale, part.zero, part.shape[2:]) == (first.scale, first.zero, first.shape[2:])
        if part.channels_last or part.flat or part.places.ndim != 2 or not same:
            raise MoveError
    places = np.concatenate([part.places for part in parts])
    return replace(first, places=places, shape=(first.shape[0], len(places), *first.shape[2:]))


def is_whole(x: Integers) -> bool:
    """Whether the integers are all channels of one tensor in their order."""
    tensors, channels = x.places[..., 0], x.places[..., 1]
    return (
        x.places.ndim == 2
        and bool((tensors == tensors[0]).all())
        and bool((channels == np.arange(len(channels))).all())
    )
