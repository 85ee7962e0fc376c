"""Removes what torch's exporter notes about source files, stack traces and shapes inside a graph."""

from __future__ import annotations

import ast
from collections import Counter

import onnx

_NAMED = ("Conv", "Gemm", "MatMul", "Add", "Mul")


def strip_exporter_notes(model: onnx.ModelProto) -> None:
    """Name the nodes by their module, then remove every note, in place.

    The notes take 260 KB, hold paths of the machine, and change nothing that the graph computes.
    """
    model.producer_name, model.producer_version = "tinyscene", ""
    model.ClearField("doc_string")
    model.ClearField("metadata_props")
    graph = model.graph
    graph.name, graph.doc_string = "main", ""
    for field in ("value_info", "metadata_props", "quantization_annotation"):
        graph.ClearField(field)
    _name_nodes(graph)
    for item in [*graph.node, *graph.initializer, *graph.input, *graph.output]:
        item.ClearField("doc_string")
        item.ClearField("metadata_props")


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Name nodes by the module that they are a part of, numbered, for the lint and for profiles."""
    seen: Counter[str] = Counter()
    for node in graph.node:
        notes = {entry.key: entry.value for entry in node.metadata_props}
        *modules, _ = ast.literal_eval(notes.get("pkg.torch.onnx.name_scopes", "['']"))
        node.name = modules[-1] if modules and node.op_type in _NAMED else ""
        seen[node.name] += 1
        if node.name and seen[node.name] > 1:
            node.name += f":{seen[node.name]}"
