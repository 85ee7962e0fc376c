"""What every known ONNX operator costs. An operator that is not listed here is an error, never a zero.

Sources: the operator definitions of onnx.ai and, for domain ``com.microsoft``, of ONNX Runtime's
ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from complexity.counters.onnx_graph.shapes import Shape
from complexity.fft import fft_multiplications, fft_operations
from complexity.operations import STEP_OF_UNIT, Work, words


@dataclass(frozen=True)
class Operands:
    """What a cost formula reads of a node: shapes of its operands, and which of them are parameters.

    Attributes:
        inputs: shape of every input; None where an optional one is absent.
        outputs: shape of every output.
        constant: whether each input is a constant of the graph.
        attributes: of the node.
        values: numpy array of every input that is a small constant, else None.
    """

    inputs: Sequence[Shape | None]
    outputs: Sequence[Shape]
    constant: Sequence[bool]
    attributes: dict[str, Any]
    values: Sequence[Any] = ()

    def shape(self, index: int) -> Shape:
        """Shape of an input; () where it is absent."""
        return (self.inputs[index] if index < len(self.inputs) else None) or ()

    def size(self, index: int) -> int:
        """Elements of an input; 0 where it is absent."""
        present = index < len(self.inputs) and self.inputs[index] is not None
        return prod(self.shape(index)) if present else 0

    def parameters(self, *indices: int) -> int:
        """Elements of those inputs that are constants."""
        return sum(self.size(i) for i in indices if i < len(self.constant) and self.constant[i])


Cost = Callable[[Operands], Work]


def _conv(x: Operands) -> Work:
    positions = prod(x.outputs[0][2:])
    return Work(
        macs=prod(x.outputs[0]) * prod(x.shape(1)[1:]), official=positions * (x.size(1) + x.parameters(2))
    )


def _conv_integer(x: Operands) -> Work:
    return Work(macs=prod(x.outputs[0]) * prod(x.shape(1)[1:]), official=prod(x.outputs[0][2:]) * x.size(1))


def _conv_transpose(x: Operands) -> Work:
    positions = prod(x.outputs[0][2:])
    return Work(
        macs=prod(x.shape(0)) * prod(x.shape(1)[1:]), official=positions * (x.size(1) + x.parameters(2))
    )


def _deform_conv(x: Operands) -> Work:
    """Bilinear sampling (four taps) of every input of every product, and the convolution."""
    taps = prod(x.outputs[0][2:]) * x.shape(0)[1] * prod(x.shape(1)[2:])
    return Work(
        macs=prod(x.outputs[0]) * prod(x.shape(1)[1:]),
        **_per(taps, 7, 4),
        official=prod(x.outputs[0][2:]) * (x.size(1) + x.parameters(3)),
    )


def _gemm(x: Operands) -> Work:
    inner = x.shape(0)[0 if x.attributes.get("transA") else 1]
    return Work(macs=prod(x.outputs[0]) * inner, official=x.parameters(0, 1, 2))


def _matmul(x: Operands) -> Work:
    # a third input is the bias of a fused form
    return Work(macs=prod(x.outputs[0]) * x.shape(0)[-1], official=x.parameters(0, 1, 2))


def _einsum(x: Operands) -> Work:
    terms = x.attributes["equation"].decode().replace(" ", "").partition("->")[0].split(",")
    if len(terms) > 2:
        raise NotImplementedError
    terms = [_name_ellipsis(term, len(shape or ())) for term, shape in zip(terms, x.inputs, strict=True)]
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, x.inputs, strict=True):
        for letter, size in zip(term, shape or (), strict=True):
            lengths[letter] = max(size, lengths.get(letter, 1))  # an axis of the ellipsis may be broadcast
    if len(terms) == 1:
        return Work(elementwise=prod(lengths.values()))
    return Work(macs=prod(lengths.values()), official=x.parameters(0, 1))


def _name_ellipsis(term: str, rank: int) -> str:
    """A term of an equation with digits for the axes of its ellipsis, counted from the last one."""
    named = len(term) - 3
    return term.replace("...", "".join(str(axis) for axis in reversed(range(rank - named))))


def _recurrent(kind: str) -> Cost:
    def cost(x: Operands) -> Work:
        steps = prod(x.shape(0)[:2])  # [time, batch, features], or batch first: the product is the same
        weights = x.size(1) + x.size(2)
        units = x.shape(2)[0] * min(x.shape(2)[1:])  # [directions, gates * units, units], or turned
        return Work(
            macs=steps * weights,
            **_per(steps * units, *STEP_OF_UNIT[kind]),
            official=steps * (weights + x.parameters(3)),
        )

    return cost


def _attention(x: Operands) -> Work:
    """``Attention`` of opset 23: two products, queries with keys and weights with values."""
    query, key, value = (x.shape(i) for i in range(3))
    if len(query) == 3:  # [batch, time, heads * width]
        query_heads = x.attributes["q_num_heads"]
        wide = x.shape(2)[-1] * query_heads // x.attributes["kv_num_heads"]
        pairs = query[0] * query[1] * key[1]
        return Work(macs=pairs * (query[2] + wide), **_per(pairs * query_heads, 4, 1))
    pairs = prod(query[:3]) * key[2]  # [batch, heads, time, width]
    return Work(macs=pairs * (query[3] + value[3]), **_per(pairs, 4, 1))


def _per(elements: int, operations: int, multiplies: int) -> dict[str, int]:
    return {"elementwise": elements * operations, "multiplies": elements * multiplies}


def _of_output(operations: int, multiplies: int = 0) -> Cost:
    return lambda x: Work(**_per(prod(x.outputs[0]), operations, multiplies))


def _of_input(operations: int, multiplies: int = 0) -> Cost:
    return lambda x: Work(**_per(prod(x.shape(0)), operations, multiplies))


def _norm(operations: int, multiplies: int) -> Cost:
    """Normalizations with scale and shift, which the rule counts once for the whole layer."""
    return lambda x: Work(
        **_per(prod(x.shape(0)), operations, multiplies), official=x.parameters(1) + x.parameters(2)
    )


def _pool(x: Operands) -> Work:
    return Work(elementwise=prod(x.outputs[0]) * prod(x.attributes["kernel_shape"]))


def _resize(x: Operands) -> Work:
    """Nearest copies; linear and cubic interpolation sum two or four taps along every spatial axis."""
    taps = {"linear": 2, "bilinear": 2, "cubic": 4}.get(x.attributes.get("mode", b"nearest").decode(), 1)
    window: int = taps ** max(len(x.shape(0)) - 2, 1)
    return Work() if taps == 1 else Work(**_per(prod(x.outputs[0]), 2 * window - 1, window))


def _grid_sample(x: Operands) -> Work:
    mode = x.attributes.get("mode", b"bilinear").decode()
    taps = {"nearest": 1, "bicubic": 4, "cubic": 4}.get(mode, 2)
    window: int = taps ** (len(x.shape(0)) - 2)
    return Work(**_per(prod(x.outputs[0]), 2 * window - 1, window))


def _stft(x: Operands) -> Work:
    """One window and one transform per frame; [batch, samples, 1 or 2] to [batch, frames, bins, 2]."""
    batch, frames, bins, _ = x.outputs[0]
    length = x.shape(2)[0] if x.shape(2) else int(x.values[3]) if x.size(3) else 0
    if not length:  # of a one-sided spectrum; the window gives it in all graphs that exporters write
        length = 2 * (bins - 1)
    real = len(x.shape(0)) < 3 or x.shape(0)[2] == 1
    windowed = length * bool(x.shape(2))
    return Work(
        elementwise=batch * frames * (fft_operations(length, real=real) + windowed),
        multiplies=batch * frames * (fft_multiplications(length, real=real) + windowed),
    )


def _dft(x: Operands) -> Work:
    shape = x.shape(0)  # [..., axis, ..., 1 for real or 2 for complex]
    axis = int(x.values[2]) if x.size(2) else x.attributes.get("axis", -2)
    inverse, one_sided = bool(x.attributes.get("inverse")), bool(x.attributes.get("onesided"))
    length = max(shape[axis], x.outputs[0][axis])
    transforms = prod(shape[:-1]) // shape[axis]
    real = shape[-1] == 1 or (inverse and one_sided)
    return Work(
        elementwise=transforms * fft_operations(length, real=real),
        multiplies=transforms * fft_multiplications(length, real=real),
    )


def _sum_of_inputs(x: Operands) -> Work:
    return Work(**_per(prod(x.outputs[0]), len(x.inputs) - 1, 0))


def _lrn(x: Operands) -> Work:
    """Square, sum over neighbours, scale, shift, power, divide."""
    size = x.attributes["size"]
    return Work(**_per(prod(x.shape(0)), size + 4, 4))


def _nothing(x: Operands) -> Work:
    return Work()


def _table(names: str, cost: Cost) -> dict[str, Cost]:
    return dict.fromkeys(words(names), cost)


COSTS: dict[str, Cost] = {
    "Conv": _conv,
    "ConvInteger": _conv_integer,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Attention": _attention,
    "BatchNormalization": _norm(2, 1),
    **_table("MatMul MatMulInteger", _matmul),
    **{kind: _recurrent(kind) for kind in STEP_OF_UNIT},
    "DeformConv": _deform_conv,
    **_table("Resize Upsample", _resize),
    "GridSample": _grid_sample,
    "STFT": _stft,
    "DFT": _dft,
    "LRN": _lrn,
    **_table("Sum Mean", _sum_of_inputs),
    "RotaryEmbedding": _of_output(3, 2),
    "MeanVarianceNormalization": _of_input(6, 3),
    # mean, centre, square, sum, divide, scale, shift
    **_table("LayerNormalization InstanceNormalization GroupNormalization", _norm(7, 3)),
    "RMSNormalization": _norm(4, 3),
    "LpNormalization": _of_output(3, 2),
    **_table("AveragePool MaxPool LpPool", _pool),
    **_table("GlobalAveragePool GlobalMaxPool GlobalLpPool", _of_input(1)),
    **_table(
        "ReduceSum ReduceMean ReduceMax ReduceMin ReduceL1 ReduceLogSum ReduceLogSumExp ArgMax ArgMin "
        "CumSum TopK Hardmax",
        _of_input(1),
    ),
    **_table("ReduceProd ReduceL2 ReduceSumSquare CumProd", _of_input(2, 1)),
    # maximum, exponential, sum, divide
    **_table("Softmax LogSoftmax", _of_output(4, 1)),
    **_table("Mul Div Pow Reciprocal PRelu LeakyRelu Elu Celu Selu", _of_output(1, 1)),
    **_table("HardSigmoid Gelu Swish Mish", _of_output(2, 1)),
    "HardSwish": _of_output(3, 2),
    **_table("QuantizeLinear DequantizeLinear DynamicQuantizeLinear", _of_output(2, 1)),
    **_table(
        "Add Sub Neg Abs Max Min Relu Clip ThresholdedRelu Ceil Floor Round Sign Not And Or Xor Greater Less "
        "Equal GreaterOrEqual LessOrEqual Where Exp Log Sqrt Sigmoid Tanh Erf Softplus Softsign Sin Cos Mod "
        "IsNaN IsInf Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Shrink BitwiseAnd BitwiseOr BitwiseXor "
        "BitwiseNot BitShift Col2Im",
        _of_output(1),
    ),
    **_table(
        "Concat Split Slice Gather GatherElements GatherND ScatterND ScatterElements Transpose Pad Expand "
        "Tile Cast CastLike DepthToSpace SpaceToDepth Reshape Flatten Squeeze Unsqueeze Identity Dropout "
        "Shape Size Constant ConstantOfShape Range EyeLike Trilu OneHot Scatter MaxUnpool ReverseSequence "
        "CenterCropPad HannWindow HammingWindow BlackmanWindow MelWeightMatrix",
        _nothing,
    ),
}  # fmt: skip

VIEWS = words("Reshape Flatten Squeeze Unsqueeze Identity Dropout")

# elementwise operators may write over an input that no other node reads
IN_PLACE = words(
    "BatchNormalization Mul Div Pow Reciprocal PRelu LeakyRelu Elu Celu Selu HardSigmoid Gelu Swish "
    "Mish HardSwish Add Sub Neg Abs Max Min Relu Clip ThresholdedRelu Ceil Floor Round Sign Where Exp Log "
    "Sqrt Sigmoid Tanh Erf Softplus Softsign Sin Cos Softmax LogSoftmax"
)

# inputs that are stored but are no parameters: running statistics, and the window of a transform
STATISTICS = {"BatchNormalization": (3, 4), "STFT": (2,)}

# inputs that only configure the operator, though they are floats
SETTINGS = {"Resize": (1, 2), "Upsample": (1,)}

# operators that repeat a part of the network, whose cost therefore is not fixed
REPEATED = words("Loop Scan SequenceMap")

# operators with weights: what they read beside their first input counts in the data type of the weights
WEIGHTED = words(
    "Conv ConvInteger ConvTranspose DeformConv Gemm MatMul MatMulInteger Einsum Attention LSTM GRU RNN"
)

# operators that ONNX Runtime executes on integers when they lie between DequantizeLinear and
# QuantizeLinear (its QDQ node units)
INTEGER = words(
    "Conv ConvTranspose Gemm MatMul Add Sub Mul Div AveragePool GlobalAveragePool MaxPool Concat Split Slice "
    "Gather Transpose Pad Expand Tile DepthToSpace SpaceToDepth Reshape Flatten Squeeze Unsqueeze Identity "
    "Relu Clip Sigmoid Tanh LeakyRelu HardSigmoid HardSwish Softmax ReduceMean ReduceMax ReduceMin Max Min "
    "Where"
)

# activations that are fused into an integer operator: they lie between it and its QuantizeLinear
FUSED = words("Relu Clip")

# operators that move a window or a state along axes of their first input, or normalize over one
WINDOWED = words(
    "Conv ConvInteger ConvTranspose DeformConv AveragePool MaxPool LpPool GlobalAveragePool GlobalMaxPool "
    "GlobalLpPool"
)
RECURRENT = words("LSTM GRU RNN")
NORMALIZED = words("Softmax LogSoftmax CumSum")
