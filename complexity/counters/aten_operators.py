"""What every known torch operator costs. One that is not listed here is an error, never a zero.

Operators are those of ATen as a dispatcher receives them, composite ones already taken apart. Torch's own
tags mark elementwise operators and reductions; the tables below list which of those multiply.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from complexity.fft import fft_multiplications, fft_operations
from complexity.operations import STEP_OF_UNIT, Work, words
from runtime.errors import ConfigError

# position of the operand whose last axis is summed over
_PRODUCTS = {
    **dict.fromkeys(words("mm bmm mv dot vdot linear"), 0),
    **dict.fromkeys(words("addmm baddbmm addmv addbmm"), 1),
}
_OTHER_PRODUCTS = words("convolution mkldnn_rnn_layer _trilinear")
_POOLS = words(
    "avg_pool1d avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices "
    "max_pool1d max_pool2d max_pool3d"
)
_POOLED_AXES = {name: int(name.partition("pool")[2][0]) for name in _POOLS}
_TRANSFORMS = words("_fft_r2c _fft_c2r _fft_c2c")
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
    **dict.fromkeys(
        words("_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d"), (1, 0)
    ),
    **dict.fromkeys(words("cumsum topk sort max min median nanmedian kthvalue mode cummax cummin"), (1, 0)),
    **dict.fromkeys(words("logcumsumexp logsumexp aminmax argsort"), (2, 0)),
    "cumprod": (1, 1),
}
_ALONG_ONE = words("_softmax _log_softmax _safe_softmax cumsum")  # the axis is their second argument
_MULTIPLYING = words(
    "mul div pow square reciprocal addcmul addcdiv lerp leaky_relu elu celu selu gelu silu mish hardsigmoid "
    "addr ger remainder"
)
_MOVES = words(
    "cat stack constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d clone "
    "channel_shuffle native_channel_shuffle pixel_shuffle pixel_unshuffle im2col _to_copy copy index "
    "index_select gather scatter roll flip fill embedding repeat upsample_nearest1d upsample_nearest2d tril "
    "triu contiguous _reshape_alias split_with_sizes_copy unsafe_split unsafe_split_with_sizes _unsafe_view "
    "masked_fill alias lift_fresh new_zeros new_ones new_empty new_full zeros_like ones_like full_like "
    "empty_like bernoulli resolve_conj _conj_physical conj_physical complex scatter_add "
    "index_put index_add index_copy "
    "upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d "
    "reflection_pad3d replication_pad3d col2im max_unpool2d max_unpool3d rot90 scatter_reduce take rand_like "
    "randn_like unfold_copy native_dropout diag_embed slice_scatter select_scatter embedding_bag one_hot "
    "masked_scatter new_empty_strided empty_strided sym_size _local_scalar_dense item"
)
# operations and multiplications an element of the output
_PER_OUTPUT = {
    **dict.fromkeys(_MOVES, (0, 0)),
    "hardswish": (3, 2),
    "_prelu_kernel": (1, 1),
    "glu": (2, 1),
    # interpolation sums two (linear) or four (cubic) taps along every axis
    "upsample_linear1d": (3, 2),
    "upsample_bilinear2d": (7, 4),
    "upsample_trilinear3d": (15, 8),
    "upsample_bicubic2d": (31, 16),
    **dict.fromkeys(("grid_sampler_2d", "_upsample_bilinear2d_aa"), (7, 4)),
    "grid_sampler_3d": (15, 8),
    "_upsample_bicubic2d_aa": (31, 16),
    "log_sigmoid_forward": (2, 0),
    "rrelu_with_noise": (1, 1),
    "polar": (4, 2),
    "_cdist_forward": (3, 1),
}


def name_of(operator: Any, arguments: Sequence[Any] = ()) -> str:
    """ATen's name without overload, and without the underscore of in-place variants.

    Given the arguments, it recognizes instance norm, which ATen runs as a batch norm that takes its
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
    if name == "mkldnn_rnn_layer":  # torch runs only LSTM in it
        operations, multiplies = STEP_OF_UNIT["LSTM"]
        units = _size(output)  # in all steps
        return Work(macs=macs or 0, elementwise=units * operations, multiplies=units * multiplies)
    if macs is not None:
        return Work(macs=macs * (4 if output is not None and output.is_complex() else 1))
    if name in _TRANSFORMS:
        return _transform(name, arguments, output)
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
        factor = arguments[_PRODUCTS[name]]
        batches = factor.shape[0] if name == "addbmm" else 1  # which sums over the batch too
        return _size(output) * int(factor.shape[-1]) * batches
    if name == "mkldnn_rnn_layer":
        steps: int = prod(arguments[0].shape[:2])
        return steps * (_size(arguments[1]) + _size(arguments[2]))
    if name == "_trilinear":  # of nn.Bilinear: both inputs and the weight, summed over the inner axes
        operands = _expand(arguments)
        axes = range(operands[0].ndim)
        return 2 * prod(max(int(tensor.shape[axis]) for tensor in operands) for axis in axes)
    return None


def _expand(arguments: Sequence[Any]) -> list[Any]:
    """The three operands of _trilinear with the axes that it inserts."""
    expanded = []
    for tensor, axes in zip(arguments[:3], arguments[3:6], strict=True):
        for axis in sorted(axes):
            tensor = tensor.unsqueeze(axis)  # one axis after another
        expanded.append(tensor)
    return expanded


def _transform(name: str, arguments: Sequence[Any], output: Any) -> Work:
    """Fast Fourier transforms along the axes of the second argument."""
    real = name != "_fft_c2c"
    longer = output if name == "_fft_c2r" else arguments[0]  # a one-sided spectrum is shorter
    lengths = [int(longer.shape[axis]) for axis in arguments[1]]
    elementwise = multiplies = 0
    for position, length in enumerate(lengths):
        transforms = _size(longer) // length
        one_real = real and position == len(lengths) - 1  # the other axes are complex by then
        elementwise += transforms * fft_operations(length, real=one_real)
        multiplies += transforms * fft_multiplications(length, real=one_real)
    return Work(elementwise=elementwise, multiplies=multiplies)


def _elementwise(
    operator: Any, name: str, arguments: Sequence[Any], output: Any
) -> tuple[int, int, int] | None:
    """How many elements, operations for each and multiplications for each; None where unknown."""
    tags = {tag.name for tag in operator.tags}
    if name in _POOLS:
        return _size(output) * _taps(arguments[1], _POOLED_AXES[name]), 1, 0
    if name in _PER_INPUT:
        return _size(arguments[0]), *_PER_INPUT[name]
    if name in _PER_OUTPUT:
        return _size(output), *_PER_OUTPUT[name]
    if "pointwise" in tags:
        return _size(output), *_pointwise(name, arguments, output)
    if "reduction" in tags:
        return _size(arguments[0]), 1, 0
    return None


def _pointwise(name: str, arguments: Sequence[Any], output: Any) -> tuple[int, int]:
    """Operations and multiplications of one element of an elementwise operator."""
    if name == "abs" and arguments[0].is_complex():
        return 4, 2  # two squares, their sum, its root
    if output is not None and output.is_complex():
        return (6, 4) if name in _MULTIPLYING else (2, 0)
    return 1, int(name in _MULTIPLYING)


def is_product(operator: Any) -> bool:
    """Whether a call is a convolution, a matrix product or a recurrence."""
    name = name_of(operator)
    return name in _PRODUCTS or name in _OTHER_PRODUCTS


def is_view(operator: Any) -> bool:
    """Whether a call only looks at memory in another way."""
    return bool(operator.is_view) or any(tag.name == "inplace_view" for tag in operator.tags)


def sizes_along(operator: Any, arguments: Sequence[Any]) -> tuple[int, ...]:
    """Sizes of the axes that a call moves a window or a state along or normalizes over, see `Node.along`."""
    name = name_of(operator)
    if name == "mkldnn_rnn_layer":
        return (int(arguments[0].shape[0]),)  # [time, batch, features]
    if name == "convolution":
        return tuple(arguments[0].shape[2:])
    if name in _POOLS:
        return tuple(arguments[0].shape[-_POOLED_AXES[name] :])
    return (int(arguments[0].shape[arguments[1]]),) if name in _ALONG_ONE else ()


def _size(tensor: Any) -> int:
    return prod(tensor.shape) if tensor is not None else 0


def _taps(kernel_size: Sequence[int], axes: int) -> int:
    return kernel_size[0] ** axes if len(kernel_size) == 1 else prod(kernel_size)
