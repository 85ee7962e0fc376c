"""Names tensors for readers of the graph, of a profile and of the lint."""

from __future__ import annotations

import onnx

from export.passes.graph_editing import drop_unused
from runtime.model.session import INPUT, OUTPUT


def name_tensors(graph: onnx.GraphProto, values: list[str]) -> None:
    """Rename all tensors and drop unused initializers, in place.

    Args:
        graph: of input `INPUT` and output `OUTPUT`.
        values: names of the quantized values in graph order, as the quantization scheme has them; the other
            tensors are numbered.
    """
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    names = {INPUT: INPUT, OUTPUT: OUTPUT, "": ""}
    if len(values) == len(quantizers):
        # the colon keeps the quantized input apart from the input itself
        quantized = [f"{value}:quantized" if value == INPUT else value for value in values]
        names |= {node.output[0]: value for node, value in zip(quantizers, quantized, strict=True)}
    for tensor in [*(name for node in graph.node for name in (*node.input, *node.output))]:
        names.setdefault(tensor, f"t{len(names)}")
    drop_unused(graph)
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]
    for node in graph.node:
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
