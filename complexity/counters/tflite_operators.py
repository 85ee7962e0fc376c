"""What every known TFLite operator costs, by NeSsi's rule and as executed.

NeSsi (github.com/AlbertoAncilotto/NeSsi, ``tflite_model.py``) counts convolutions, fully connected layers,
pooling, global means and additions; every other operator counts zero there. An operator that is not
listed here is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from complexity.operations import Work, words

Shape = tuple[int, ...]


@dataclass(frozen=True)
class TfliteOperands:
    """Shapes of the inputs (None where one is absent) and outputs, and the operator's options table."""

    inputs: Sequence[Shape | None]
    outputs: Sequence[Shape]
    options: Any

    def shape(self, index: int) -> Shape:
        """Shape of an input that the operator needs."""
        return self.inputs[index] or ()


Cost = Callable[[TfliteOperands], Work]


def _conv(x: TfliteOperands) -> Work:
    macs = prod(x.outputs[0]) * prod(x.shape(1)[1:])  # weights [out, height, width, in]
    return Work(macs=macs, official=macs)


def _depthwise(x: TfliteOperands) -> Work:
    macs = prod(x.outputs[0]) * prod(x.shape(1)[1:3])  # weights [1, height, width, channels]
    return Work(macs=macs, official=macs)


def _fully_connected(x: TfliteOperands) -> Work:
    macs = prod(x.outputs[0]) * x.shape(1)[-1]
    return Work(macs=macs, official=macs)


def _transpose_conv(x: TfliteOperands) -> Work:
    return Work(macs=prod(x.shape(2)) * prod(x.shape(1)[:3]))  # inputs: output shape, weights, data


def _batch_matmul(x: TfliteOperands) -> Work:
    import tflite  # it was there when the file was read

    options = tflite.BatchMatMulOptions()
    if x.options is not None:
        options.Init(x.options.Bytes, x.options.Pos)
    return Work(macs=prod(x.outputs[0]) * x.shape(0)[-2 if x.options and options.AdjX() else -1])


def _pool(x: TfliteOperands) -> Work:
    import tflite

    options = tflite.Pool2DOptions()
    options.Init(x.options.Bytes, x.options.Pos)
    taps = prod(x.outputs[0]) * options.FilterHeight() * options.FilterWidth()
    return Work(elementwise=taps, official=taps)


def _mean(x: TfliteOperands) -> Work:
    elements = prod(x.shape(0))
    return Work(elementwise=elements, official=elements)


def _add(x: TfliteOperands) -> Work:
    additions = (len(x.inputs) - 1) * prod(x.outputs[0])
    return Work(elementwise=additions, official=additions)


def _of_output(operations: int, multiplies: int = 0) -> Cost:
    return lambda x: Work(
        elementwise=prod(x.outputs[0]) * operations, multiplies=prod(x.outputs[0]) * multiplies
    )


def _of_input(operations: int, multiplies: int = 0) -> Cost:
    return lambda x: Work(elementwise=prod(x.shape(0)) * operations, multiplies=prod(x.shape(0)) * multiplies)


def _nothing(x: TfliteOperands) -> Work:
    return Work()


COSTS: dict[str, Cost] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "TRANSPOSE_CONV": _transpose_conv,
    "BATCH_MATMUL": _batch_matmul,
    "MAX_POOL_2D": _pool,
    "AVERAGE_POOL_2D": _pool,
    "MEAN": _mean,
    "ADD": _add,
    **dict.fromkeys(words("SUM REDUCE_MAX REDUCE_MIN ARG_MAX ARG_MIN CUMSUM"), _of_input(1)),
    **dict.fromkeys(words("SOFTMAX LOG_SOFTMAX"), _of_output(4, 1)),
    **dict.fromkeys(words("QUANTIZE DEQUANTIZE"), _of_output(2, 1)),
    **dict.fromkeys(
        words("MUL DIV POW SQUARE SQUARED_DIFFERENCE LEAKY_RELU PRELU ELU GELU"), _of_output(1, 1)
    ),
    "HARD_SWISH": _of_output(3, 2),
    "L2_NORMALIZATION": _of_output(3, 2),
    **dict.fromkeys(
        words(
            "SUB NEG ABS MAXIMUM MINIMUM RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 LOGISTIC TANH EXP LOG SQRT "
            "RSQRT SIN COS FLOOR CEIL ROUND SIGN SELECT SELECT_V2 WHERE GREATER GREATER_EQUAL LESS "
            "LESS_EQUAL EQUAL NOT_EQUAL LOGICAL_AND LOGICAL_OR LOGICAL_NOT"
        ),
        _of_output(1),
    ),
    **dict.fromkeys(
        words(
            "CONCATENATION RESHAPE SQUEEZE EXPAND_DIMS PAD PADV2 MIRROR_PAD TRANSPOSE SLICE STRIDED_SLICE "
            "SPLIT SPLIT_V GATHER GATHER_ND PACK UNPACK TILE BROADCAST_TO CAST SPACE_TO_DEPTH DEPTH_TO_SPACE "
            "SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND SHAPE RESIZE_NEAREST_NEIGHBOR REVERSE_V2"
        ),
        _nothing,
    ),
}

VIEWS = words("RESHAPE SQUEEZE EXPAND_DIMS")

IN_PLACE = words(
    "ADD SUB MUL DIV POW SQUARE SQUARED_DIFFERENCE NEG ABS MAXIMUM MINIMUM RELU RELU6 RELU_N1_TO_1 "
    "RELU_0_TO_1 LEAKY_RELU PRELU ELU GELU HARD_SWISH LOGISTIC TANH EXP LOG SQRT RSQRT SOFTMAX LOG_SOFTMAX"
)
