"""Inputs of one clip: a batch counts as 1, and a first axis that is a part of the clip stays whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from complexity.batch_axis import Axis, compare_sizes
from complexity.counters.float_reference import list_shapes, make_inputs
from complexity.counters.torch_trace import Trace, trace
from runtime.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class ClipTrace:
    """A run of a network on one clip.

    Attributes:
        inputs: zeros.
        trace: what it executes on them.
        note: a sentence where a first axis of several elements counts whole; else empty.
    """

    inputs: tuple[torch.Tensor, ...]
    trace: Trace
    note: str = ""


def trace_clip(
    model: nn.Module, input_shape: Sequence[int] | Sequence[Sequence[int]], *, element_bytes: float
) -> ClipTrace:
    """Run a network on one clip.

    Args:
        model: see `complexity.counters.torch_trace.trace`.
        input_shape: shape of its input, or a list with the shape of every input. A first axis that is the
            same for all inputs counts as 1 where a comparison of both sizes shows a batch.
        element_bytes: what one element of an activation will take.

    Raises:
        ConfigError: where the network does not run on a shape, or a torch operator is unknown.
    """
    whole = list_shapes(input_shape)
    first = {shape[0] for shape in whole if shape}
    size = first.pop() if len(first) == 1 else 1

    def run(first_size: int) -> ClipTrace:
        shapes = [(first_size, *shape[1:]) if shape else shape for shape in whole] if size > 1 else whole
        inputs = make_inputs(model, shapes)
        return ClipTrace(inputs, trace(model, inputs, element_bytes=element_bytes))

    if size == 1 or max(map(len, whole)) < 2:
        return run(size)
    try:
        large = run(size)
    except ConfigError:
        return run(1)  # a batch of another size may be built in
    try:
        # not with a batch of 1, for which torch leaves out copies
        axis = compare_sizes(large.trace.run, run(2 * size).trace.run, 2)
    except ConfigError:
        axis = Axis.UNKNOWN
    if axis is Axis.BATCH:
        return run(1)
    what = "is no batch" if axis is Axis.CLIP else "may be a batch or a part of the clip"
    note = f"The first axis of the input {what}: all {size:,} of it count as one clip."
    return ClipTrace(large.inputs, large.trace, note)
