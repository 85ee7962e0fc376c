"""Quantized and fused forms of ONNX operators, rewritten as the operators that they stand for.

Scales and zero points are no parameters: every rule leaves them out. Here they are told apart from data by
their position in each form. Sources: onnx.ai and ONNX Runtime's ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from complexity.counters.onnx_graph.external_data import graphs_of

_CONTRIB = "com.microsoft"

# (domain, operator) -> the operator that it stands for, and the positions of its data inputs;
# the other inputs are scales and zero points. QLinearConcat repeats (data, scale, zero point) from 2 on.
QUANTIZED_FORMS: dict[tuple[str, str], tuple[str, tuple[int, ...]]] = {
    ("", "QLinearConv"): ("Conv", (0, 3, 8)),
    ("", "QLinearMatMul"): ("MatMul", (0, 3)),
    ("", "ConvInteger"): ("ConvInteger", (0, 1)),
    ("", "MatMulInteger"): ("MatMulInteger", (0, 1)),
    (_CONTRIB, "QuantizeLinear"): ("QuantizeLinear", (0, 1, 2)),
    (_CONTRIB, "DequantizeLinear"): ("DequantizeLinear", (0, 1, 2)),
    (_CONTRIB, "QGemm"): ("Gemm", (0, 3, 6)),
    (_CONTRIB, "QLinearConv"): ("Conv", (0, 3, 8)),
    (_CONTRIB, "QLinearAdd"): ("Add", (0, 3)),
    (_CONTRIB, "QLinearMul"): ("Mul", (0, 3)),
    (_CONTRIB, "QLinearWhere"): ("Where", (0, 1, 4)),
    **{
        (_CONTRIB, f"QLinear{name}"): (name, (0,))
        for name in ("AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Softmax", "ReduceMean")
    },
    (_CONTRIB, "DynamicQuantizeMatMul"): ("MatMul", (0, 1, 4)),
    (_CONTRIB, "MatMulIntegerToFloat"): ("MatMul", (0, 1, 6)),
    (_CONTRIB, "DynamicQuantizeLSTM"): ("LSTM", (0, 1, 2, 3, 4, 5, 6, 7)),
    # float forms that ONNX Runtime's optimizer writes; the activation in them is not counted
    (_CONTRIB, "FusedConv"): ("Conv", (0, 1, 2)),
    (_CONTRIB, "FusedGemm"): ("Gemm", (0, 1, 2)),
}


def rewrite_quantized(graph: Any) -> frozenset[str]:
    """Turn quantized and fused forms in a graph, and in its branches, into the operators they stand for.

    Args:
        graph: an ``onnx.GraphProto``; it is changed.

    Returns:
        Names of the tensors that are scales and zero points.
    """
    scales: set[str] = set()
    dynamic: set[str] = set()  # scales that are computed from the input at run time
    for node in graph.node:
        for attribute in node.attribute:
            for inner in graphs_of(attribute):
                scales |= rewrite_quantized(inner)
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scales.update(node.input[1:])
        elif node.op_type == "DynamicQuantizeLinear":
            dynamic.add(node.output[1])
        elif node.op_type == "Mul" and not dynamic.isdisjoint(node.input):
            # quantize_dynamic multiplies the scale of the input by the constant scale of the weights
            scales.update(set(node.input) - dynamic)
            dynamic.update(node.output)
        data = _data_inputs(node)
        if data is not None:
            scales |= _rewrite(node, data)
    return frozenset(scales - {""})


def _rewrite(node: Any, data: Sequence[int]) -> set[str]:
    inputs = [node.input[i] for i in data if i < len(node.input)]
    dropped = {name for name in node.input if name not in inputs}
    node.op_type = "Concat" if node.op_type == "QLinearConcat" else QUANTIZED_FORMS[_key(node)][0]
    node.domain = ""
    del node.input[:]
    node.input.extend(inputs)
    return dropped


def _data_inputs(node: Any) -> Sequence[int] | None:
    if (node.domain, node.op_type) == (_CONTRIB, "QLinearConcat"):
        return range(2, len(node.input), 3)
    form = QUANTIZED_FORMS.get(_key(node))
    return form[1] if form else None


def _key(node: Any) -> tuple[str, str]:
    return ("" if node.domain == "ai.onnx" else node.domain), node.op_type
