"""Weights rounded so that the error of a layer's output is least, not that of each weight by itself.

GPTQ (Frantar et al., arXiv 2210.17323): columns are rounded one after the other, and the columns that follow
compensate the error, as far as the inputs of calibration are correlated. On CP-Mobile this lowers the noise
of weights in [-64, 63] from -26 dB to -34 dB relative to the logits, so that 8 bits would bring nothing more.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from train.quantization.graph.value_names import arguments_of, aten, layers

_DAMPING = 0.01  # of the mean second moment, as in the paper: inputs that never vary stay solvable


class MomentObserver(Interpreter):
    """Runs a graph and sums the second moments of the inputs of every layer.

    Args:
        model: a prepared graph, see `train.quantization.conversion.prepare`.

    Attributes:
        moments: name of a layer to float64 [groups, inputs, inputs].
    """

    def __init__(self, model: GraphModule) -> None:
        super().__init__(model)
        self._names = {node: name for name, node in layers(model).items()}
        self.moments: dict[str, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        """Run a node; for a layer, add the second moments of its inputs first."""
        if n in self._names:
            inputs, weight = (self.env[node] for node in n.all_input_nodes[:2])
            patches = _patches(n, inputs, weight)
            moment = torch.einsum("gkp,glp->gkl", patches, patches).double()
            self.moments[self._names[n]] = self.moments.get(self._names[n], 0) + moment
        return super().run_node(n)


def _patches(node: Node, x: Tensor, weight: Tensor) -> Tensor:
    """The inputs of each output of a layer: [groups, inputs, patches]."""
    if node.target is aten.linear.default:
        return x.reshape(1, -1, x.shape[-1]).transpose(1, 2)
    given = arguments_of(node)[3:]
    defaults: tuple[Any, ...] = ([1, 1], [0, 0], [1, 1], 1)
    stride, padding, dilation, groups = (*given, *defaults[len(given) :])
    patches = F.unfold(x, tuple(weight.shape[2:]), dilation=dilation, padding=padding, stride=stride)
    batch, inputs, places = patches.shape
    return patches.reshape(batch, groups, inputs // groups, places).permute(1, 2, 0, 3).flatten(2)


def round_weight(weight: Tensor, scales: Tensor, moments: Tensor, weight_range: tuple[int, int]) -> Tensor:
    """Round the weight of a layer to multiples of its scales.

    Args:
        weight: [out_channels, ...], batch norm folded into it.
        scales: [out_channels].
        moments: of the layer's inputs, [groups, inputs, inputs].
        weight_range: least and greatest integer.
    """
    rows = weight.detach().double().reshape(len(moments), -1, moments.shape[-1])
    steps = scales.double().reshape(len(moments), -1)
    rounded = [_round_group(*group, weight_range) for group in zip(rows, steps, moments, strict=True)]
    return torch.cat(rounded).reshape(weight.shape).float()


def _round_group(rows: Tensor, steps: Tensor, moments: Tensor, weight_range: tuple[int, int]) -> Tensor:
    """Round the weights [outputs, inputs] of one group of channels."""
    damping = _DAMPING * moments.diagonal().mean() + 1e-12
    inverse = torch.linalg.inv(moments + damping * torch.eye(len(moments), dtype=moments.dtype))
    factor = torch.linalg.cholesky(inverse, upper=True)
    rows, rounded = rows.clone(), torch.empty_like(rows)
    for column in range(rows.shape[1]):
        rounded[:, column] = (rows[:, column] / steps).round().clamp(*weight_range) * steps
        error = (rows[:, column] - rounded[:, column]) / factor[column, column]
        rows[:, column:] -= error[:, None] * factor[column, column:]
    return rounded
