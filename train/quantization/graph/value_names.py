"""Names of the values of an exported graph, the same in training and in evaluation.

A *value* is a tensor that gets a range of its own. Its name is that of the module that computes it
(``stages.s1.b1.block.0.0``), with the operation behind a colon where that is no convolution or linear layer
(``stages.s1.b1:add``).
"""

from __future__ import annotations

import operator
from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

aten = torch.ops.aten

LAYERS = {aten.conv2d.default, aten.linear.default}
_NORMS = {aten.batch_norm.default}
_ACTIVATIONS = {aten.relu.default, aten.relu_.default}


def end_of_chain(node: Node) -> Node:
    """The node whose output is quantized where ``node`` begins: after its batch norm and its ReLU."""
    if node.op != "call_function":  # a weight of batch norm is not a value of the layer
        return node
    for followers in (_NORMS, _ACTIVATIONS):
        users = list(node.users)
        if len(users) == 1 and users[0].target in followers and users[0].args[0] is node:
            node = users[0]
    return node


def name_values(model: GraphModule) -> dict[Node, str]:
    """A name for every node that can be a value, see the module's docstring."""
    names: dict[Node, str] = {}
    counts: Counter[str] = Counter()
    for node in model.graph.nodes:
        if end_of_chain(node) in names or node.op == "output":
            continue
        name = _base_name(node)
        counts[name] += 1
        names[end_of_chain(node)] = name if counts[name] == 1 else f"{name}.{counts[name]}"
    return names


def layers(model: GraphModule) -> dict[str, Node]:
    """The convolutions and linear layers of a graph by name."""
    names = name_values(model)
    return {names[end_of_chain(node)]: node for node in model.graph.nodes if node.target in LAYERS}


def quantized_values(converted: GraphModule) -> list[str]:
    """Names of the values that an INT8 graph quantizes, in the order of the graph."""
    names = name_values(converted)
    return [
        names[node.all_input_nodes[0]]
        for node in converted.graph.nodes
        if node.target is torch.ops.quantized_decomposed.quantize_per_tensor.default
    ]


def _base_name(node: Node) -> str:
    if node.op != "call_function":
        return str(node.target)
    kind = "" if node.target in LAYERS else f":{_operation(node)}"
    return f"{_module_path(node)}{kind}"


def _module_path(node: Node) -> str:
    stack = node.meta.get("nn_module_stack")
    return str(list(stack.values())[-1][0]) if stack else ""


def _operation(node: Node) -> str:
    return "part" if node.target is operator.getitem else str(node.target).split(".")[1].rstrip("_")


def arguments_of(node: Node) -> tuple[Any, ...]:
    """The arguments of a node. FX types them as a union of all that a graph may contain."""
    return node.args


def tensor_at(graph: GraphModule, node: Node) -> Tensor:
    """The parameter or buffer that a ``get_attr`` node reads."""
    path, _, attribute = str(node.target).rpartition(".")
    tensor = getattr(graph.get_submodule(path), attribute)
    assert isinstance(tensor, Tensor)
    return tensor
