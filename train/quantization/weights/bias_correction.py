"""Biases that compensate the mean error of INT8.

Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019, section
4.2, with means measured on calibration windows: rounding and clipping shift the mean of a layer's outputs,
and a shift, unlike noise, does not vanish in the average over a map. Layers are corrected in the order of the
graph, each with the error of all before it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from train.quantization.graph.value_names import arguments_of, layers, tensor_at
from train.quantization.observers import FixedRange


class ChannelMeans(Interpreter):
    """Runs a graph and records the mean of every channel of every layer's output.

    Attributes:
        means: name of a layer to [channels].
    """

    def __init__(self, graph: GraphModule) -> None:
        super().__init__(graph)
        self._names = {node: name for name, node in layers(graph).items()}
        self.means: dict[str, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        """Run a node; record the means where it is a layer."""
        output = super().run_node(n)
        if n in self._names:
            self.means[self._names[n]] = _channel_means(output)
        return output


@torch.no_grad()
def correct_biases(prepared: GraphModule, windows: Tensor, expected: dict[str, Tensor]) -> None:
    """Change every bias so that the mean output of its layer in INT8 is that of the float reference.

    Args:
        prepared: a graph with fixed ranges, aligned scales and rounded weights.
        windows: log-mels [n, 1, n_mels, frames].
        expected: the means that `ChannelMeans` measured for the float reference on the same windows.
    """
    values = [module for module in prepared.modules() if isinstance(module, FixedRange)]
    for value in values:
        value.fake_quant_enabled = True
    _BiasCorrection(prepared, expected).run(windows.float())
    for value in values:
        value.fake_quant_enabled = False


class _BiasCorrection(Interpreter):
    def __init__(self, graph: GraphModule, expected: dict[str, Tensor]) -> None:
        super().__init__(graph)
        self._graph, self._expected = graph, expected
        self._names = {node: name for name, node in layers(graph).items()}

    def run_node(self, n: Node) -> Any:
        output = super().run_node(n)
        bias = _bias(self._graph, n) if n in self._names else None
        if bias is None:
            return output
        error = _channel_means(output) - self._expected[self._names[n]]
        bias.sub_(error)
        return output - error.reshape(1, -1, *[1] * (output.ndim - 2))


def _bias(graph: GraphModule, layer: Node) -> Tensor | None:
    """The bias of a layer; None where it has none."""
    arguments = arguments_of(layer)
    node = arguments[2] if len(arguments) > 2 else None
    if node is None:
        return None
    return tensor_at(graph, node.all_input_nodes[0] if node.op == "call_module" else node)


def _channel_means(output: Tensor) -> Tensor:
    return output.mean(dim=[axis for axis in range(output.ndim) if axis != 1])
