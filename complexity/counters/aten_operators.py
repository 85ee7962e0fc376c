"""What every known torch operator costs. One that is not listed here is an error, never a zero.

Operators are those of ATen as a dispatcher sees them, composite ones already taken apart. Torch's own
tags tell elementwise operators and reductions; the tables below say which of those multiply.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from complexity.operations import Work, words
from runtime.errors import ConfigError

# where the operand stands whose last axis is summed over
_PRODUCTS = {"mm": 0, "bmm": 0, "mv": 0, "dot": 0, "addmm": 1, "baddbmm": 1}
_POOLS = words("avg_pool1d avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices")
BATCH_NORMS = words("native_batch_norm _native_batch_norm_legit_no_training cudnn_batch_norm")
# operations and multiplications an element of the input
_PER_INPUT = {
    **dict.fromkeys(BATCH_NORMS, (2, 1)),
    # mean, centre, square, sum, divide, scale, shift
    **dict.fromkeys(words("native_layer_norm native_group_norm instance_norm"), (7, 3)),
    "_fused_rms_norm": (4, 3),
    # maximum, exponential, sum, divide
    **dict.fromkeys(("_softmax", "_log_softmax", "_safe_softmax"), (4, 1)),
    **dict.fromkeys(words("var std var_mean std_mean prod linalg_vector_norm norm"), (2, 1)),
    **dict.fromkeys(words("_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d"), (1, 0)),
    **dict.fromkeys(words("cumsum topk sort max min"), (1, 0)),
}
_MULTIPLYING = words(
    "mul div pow square reciprocal addcmul addcdiv lerp leaky_relu elu celu gelu silu mish hardsigmoid"
)
_MOVES = words(
    "cat stack constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d clone "
    "channel_shuffle native_channel_shuffle pixel_shuffle pixel_unshuffle im2col _to_copy copy index "
    "index_select gather scatter roll flip fill embedding repeat upsample_nearest1d upsample_nearest2d tril "
    "triu contiguous _reshape_alias split_with_sizes_copy unsafe_split unsafe_split_with_sizes _unsafe_view "
    "masked_fill alias lift_fresh new_zeros new_ones new_empty new_full zeros_like ones_like full_like "
    "empty_like bernoulli"
)
# operations and multiplications an element of the output
_PER_OUTPUT = {
    **dict.fromkeys(_MOVES, (0, 0)),
    "hardswish": (3, 2),
    "_prelu_kernel": (1, 1),
    "glu": (2, 1),
    "upsample_bilinear2d": (7, 4),
}


def name_of(operator: Any, arguments: Sequence[Any] = ()) -> str:
    """ATen's name without overload, and without the underscore of in-place variants.

    Given the arguments, it tells instance norm, which ATen runs as a batch norm that takes its
    statistics from the input.
    """
    name = str(operator.overloadpacket.__name__).rstrip("_")
    return "instance_norm" if name in BATCH_NORMS and len(arguments) > 5 and arguments[5] else name


def cost_of(operator: Any, arguments: Sequence[Any], output: Any) -> Work:
    """Work of one call.

    Raises:
        ConfigError: where the operator is unknown; it is named.
    """
    name = name_of(operator, arguments)
    macs = _macs(name, arguments, output)
    if macs is not None:
        return Work(macs=macs)
    costs = _elementwise(operator, name, arguments, output)
    if costs is None:
        raise ConfigError(
            f"The network uses the torch operator '{name}', whose cost is unknown here: replace it, or ask "
            "for it in an issue; a silent zero would be wrong."
        )
    elements, operations, multiplies = costs
    return Work(elementwise=elements * operations, multiplies=elements * multiplies)


def _macs(name: str, arguments: Sequence[Any], output: Any) -> int | None:
    """Multiply-accumulates of a convolution, product or recurrence; None for all else."""
    if name == "convolution":
        positions = _size(arguments[0] if arguments[6] else output)  # [6]: whether it is transposed
        taps: int = prod(arguments[1].shape[1:])
        return positions * taps
    if name in _PRODUCTS:
        return _size(output) * int(arguments[_PRODUCTS[name]].shape[-1])
    if name == "mkldnn_rnn_layer":
        steps: int = prod(arguments[0].shape[:2])
        return steps * (_size(arguments[1]) + _size(arguments[2]))
    return None


def _elementwise(
    operator: Any, name: str, arguments: Sequence[Any], output: Any
) -> tuple[int, int, int] | None:
    """How many elements, operations for each and multiplications for each; None where unknown."""
    tags = {tag.name for tag in operator.tags}
    if name in _POOLS:
        return _size(output) * _taps(arguments[1], len(output.shape) - 2), 1, 0
    if name in _PER_INPUT:
        return _size(arguments[0]), *_PER_INPUT[name]
    if name in _PER_OUTPUT:
        return _size(output), *_PER_OUTPUT[name]
    if "pointwise" in tags:
        return _size(output), 1, int(name in _MULTIPLYING)
    if "reduction" in tags:
        return _size(arguments[0]), 1, 0
    return None


def is_product(operator: Any) -> bool:
    """Whether a call is a convolution, a matrix product or a recurrence."""
    name = name_of(operator)
    return name in _PRODUCTS or name in ("convolution", "mkldnn_rnn_layer")


def is_view(operator: Any) -> bool:
    """Whether a call only looks at memory in another way."""
    return bool(operator.is_view) or any(tag.name == "inplace_view" for tag in operator.tags)


def _size(tensor: Any) -> int:
    return prod(tensor.shape) if tensor is not None else 0


def _taps(kernel_size: Sequence[int], axes: int) -> int:
    return kernel_size[0] ** axes if len(kernel_size) == 1 else prod(kernel_size)
