"""Channel ranges equalized across consecutive layers, before ranges are chosen.

Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019, section
4.1: ReLU(s x) = s ReLU(x), so a channel between two layers can be divided by s in the first one and
multiplied by s in the second one, and the network computes the same. INT8 has one scale for all channels of
an activation, while its weights have one scale each output channel. A channel of small range therefore loses
bits between the layers and gains them by the division.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from train.quantization.conversion import capture
from train.quantization.graph.value_names import LAYERS, arguments_of, aten, end_of_chain, tensor_at

_BATCH = 16  # windows that run at once
_MOST = 64.0  # limit of a factor and of its inverse: a channel that is nearly always zero stays small


@dataclass(frozen=True)
class _Pair:
    """Two layers with nothing but batch norm and ReLU between them.

    Attributes:
        scaled: the parameters that are multiplied with a channel: of batch norm, or of the first layer
        itself.
        between: the node whose output channels are equalized.
        weight: of the second layer.
        depthwise: it has one input channel for each output channel.
    """

    scaled: tuple[Tensor, ...]
    between: Node
    weight: Tensor
    depthwise: bool


@torch.no_grad()
def equalize(network: nn.Module, input_shape: tuple[int, ...], windows: Tensor) -> nn.Module:
    """A copy of a network that computes the same, with equalized channel ranges between its layers.

    Args:
        network: in eval mode; it is not changed.
        input_shape: of its input, batch first.
        windows: log-mels [n, 1, n_mels, frames], which the ranges of channels are measured on.
    """
    equalized = copy.deepcopy(network)
    graph = capture(equalized, input_shape)
    pairs = _pairs(graph)
    maxima = _ChannelMaxima(graph, [pair.between for pair in pairs])
    for batch in torch.split(windows, _BATCH):
        maxima.run(batch.float())
    for pair in pairs:
        factors = _factors(maxima.maxima[pair.between], pair)
        for tensor in pair.scaled:
            tensor.copy_(tensor / factors.reshape(-1, *[1] * (tensor.ndim - 1)))
        shape = (-1, 1, 1, 1) if pair.depthwise else (1, -1, *[1] * (pair.weight.ndim - 2))
        pair.weight.copy_(pair.weight * factors.reshape(shape))
    return equalized


def _factors(maxima: Tensor, pair: _Pair) -> Tensor:
    """What each channel [channels] is divided by, of geometric mean 1 over the channels in use.

    In front of a depthwise layer the factors make all ranges equal: its weights have a scale for every
    channel, so the division costs them nothing. In front of any other layer the channels share a scale in the
    weights too, and the factors balance both ranges (equation 11 of the paper).
    """
    used = maxima > 0
    factors = maxima.clone()
    if not pair.depthwise:
        weights = pair.weight.abs().transpose(0, 1).flatten(1).amax(1)
        used &= weights > 0
        factors = (maxima / weights.clamp(min=1e-12)).sqrt()
    if not used.any():
        return torch.ones_like(maxima)
    factors = factors / factors[used].log().mean().exp()
    return torch.where(used, factors, 1.0).clamp(1 / _MOST, _MOST)


class _ChannelMaxima(Interpreter):
    """Runs a graph and records the largest magnitude of every channel of some of its nodes."""

    def __init__(self, graph: GraphModule, nodes: list[Node]) -> None:
        super().__init__(graph)
        self._nodes = set(nodes)
        self.maxima: dict[Node, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        """Run a node; record the maxima where its channels are equalized."""
        output = super().run_node(n)
        if n in self._nodes:
            maxima = output.abs().amax(dim=[axis for axis in range(output.ndim) if axis != 1])
            self.maxima[n] = torch.maximum(self.maxima[n], maxima) if n in self.maxima else maxima
        return output


def _pairs(graph: GraphModule) -> list[_Pair]:
    """All pairs of layers whose channels can be scaled, in the order of the graph."""
    found = []
    for first in graph.graph.nodes:
        between = end_of_chain(first) if first.target in LAYERS else None
        users = list(between.users) if between is not None else []
        if between is None or len(users) != 1 or users[0].target not in LAYERS:
            continue
        scaled = _scaled(graph, first)
        arguments = arguments_of(users[0])
        if scaled and arguments[0] is between:
            weight = tensor_at(graph, arguments[1])
            depthwise = weight.ndim == 4 and weight.shape[1] == 1 and weight.shape[0] == len(scaled[0])
            if depthwise or weight.shape[1] == len(scaled[0]):  # other groups share no simple factor
                found.append(_Pair(scaled, between, weight, depthwise))
    return found


def _scaled(graph: GraphModule, layer: Node) -> tuple[Tensor, ...]:
    """The parameters that a channel of a layer's output is proportional to; none where there are none."""
    norms = [user for user in layer.users if user.target is aten.batch_norm.default]
    nodes = arguments_of(norms[0])[1:3] if norms else arguments_of(layer)[1:3]
    if any(node is None for node in nodes):
        nodes = () if norms else nodes[:1]
    return tuple(tensor_at(graph, node) for node in nodes)
