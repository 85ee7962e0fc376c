"""Quantized and fused forms of ONNX operators, rewritten as the operators that they stand for.

Scales and zero points are no parameters: every rule leaves them out. Here they are told apart from data by
their position in each form. Sources: onnx.ai and ONNX Runtime's ContribOperators.md.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from complexity.counters.onnx_graph.external_data import graphs_of
from runtime.entry_point import require

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
    (_CONTRIB, "NhwcFusedConv"): ("Conv", (0, 1, 2)),
    (_CONTRIB, "NhwcMaxPool"): ("MaxPool", (0,)),
}

# forms that read and write [batch, ..., channels] whether they have the attribute ``channels_last`` or not;
# the weights of a convolution have their channels first all the same
_ALWAYS_CHANNELS_LAST = ("NhwcFusedConv", "NhwcMaxPool")
CHANNELS_LAST = "from or to channels last"  # doc_string of the nodes that `rewrite_quantized` adds for that
_USUAL_RANK = 4  # where nothing in the graph says how many axes there are


def rewrite_quantized(graph: Any) -> frozenset[str]:
    """Turn quantized and fused forms in a graph, and in its branches, into the operators they stand for.

    Args:
        graph: an ``onnx.GraphProto``; it is changed.

    Returns:
        Names of the tensors that are scales and zero points.
    """
    scales: set[str] = set()
    turned: set[str] = set()  # outputs of nodes that have the channels last
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
            turned |= {node.output[0]} if _is_channels_last(node) else set()
            scales |= _rewrite(node, data)
    if turned:
        _put_channels_first(graph, turned)
    return frozenset(scales - {""})


def _is_channels_last(node: Any) -> bool:
    flag = any(attribute.name == "channels_last" and attribute.i for attribute in node.attribute)
    return node.op_type in _ALWAYS_CHANNELS_LAST or (flag and node.domain == _CONTRIB)


def _put_channels_first(graph: Any, outputs: set[str]) -> None:
    """Put the nodes that write these outputs between transpositions, of which the count takes no notice."""
    nodes = list(graph.node)
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    turned = [_turn(node, ranks) if outputs.intersection(node.output) else (node,) for node in nodes]
    copies = [copy.deepcopy(node) for group in turned for node in group]
    del graph.node[:]
    graph.node.extend(copies)


def _turn(node: Any, ranks: Mapping[str, int]) -> tuple[Any, Any, Any]:
    helper = require("onnx.helper", extra="complexity")
    kernel = next((len(a.ints) for a in node.attribute if a.name == "kernel_shape"), 0)
    rank = kernel + 2 if kernel else next((ranks[n] for n in node.input[1:2] if n in ranks), _USUAL_RANK)
    x, y = node.input[0], node.output[0]
    node.input[0], node.output[0] = f"{x} for {y}, channels first", f"{y}, channels first"
    perm_in, perm_out = [0, rank - 1, *range(1, rank - 1)], [0, *range(2, rank), 1]
    before = helper.make_node("Transpose", [x], [node.input[0]], doc_string=CHANNELS_LAST, perm=perm_in)
    after = helper.make_node("Transpose", [node.output[0]], [y], doc_string=CHANNELS_LAST, perm=perm_out)
    return before, node, after


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
