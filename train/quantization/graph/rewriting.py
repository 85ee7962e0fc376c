"""Rewriting of exported graphs before and after they are prepared for quantization."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from train.quantization.graph.value_names import aten


def replace_average_pools(model: GraphModule) -> GraphModule:
    """Write every strided ``avg_pool2d`` (zeros counted in) as a depthwise convolution with equal weights."""
    for node in model.graph.find_nodes(op="call_function", target=aten.avg_pool2d.default):
        x, kernel, stride, padding = (*node.args, [0, 0])[:4]
        channels = x.meta["val"].shape[1]
        weight = torch.full((channels, 1, *kernel), 1 / (kernel[0] * kernel[1]))
        buffer = f"{node.name}_weight"
        model.register_buffer(buffer, weight)
        with model.graph.inserting_before(node):
            weight_node = model.graph.get_attr(buffer)
            arguments = (x, weight_node, None, stride, padding, [1, 1], channels)
            convolution = model.graph.call_function(aten.conv2d.default, arguments)
        weight_node.meta["val"] = weight
        convolution.meta = dict(node.meta)
        node.replace_all_uses_with(convolution)
        model.graph.erase_node(node)
    model.recompile()
    return model


def replace_square_roots(model: GraphModule) -> GraphModule:
    """Give every square root of a graph that is trained the derivative 0 at 0, see `square_root`."""
    for node in model.graph.find_nodes(op="call_function", target=aten.sqrt.default):
        node.target = square_root
    model.recompile()
    return model


def square_root(x: Tensor) -> Tensor:
    """The square root, with the derivative 0 where x is 0.

    GRN divides by the L2 norm of a channel, which `train.students.cp_mobile.GRN` computes as the root of a
    mean of squares. Fake quantization rounds a small mean to exactly 0, where the derivative of the root is
    infinite: the gradient becomes NaN. The norm has the subgradient 0 there, and ``torch.linalg.vector_norm``
    returns it.
    """
    root: Tensor = _SquareRoot.apply(x)  # type: ignore[no-untyped-call]
    return root


class _SquareRoot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        root = x.sqrt()
        ctx.save_for_backward(root)
        return root

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (root,) = ctx.saved_tensors
        return torch.where(root > 0, gradients[0] / (2 * root), 0.0)
