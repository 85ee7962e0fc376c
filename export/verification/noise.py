"""Quantization noise of every integer value of a file, measured against the float reference."""

from __future__ import annotations

import onnx
import torch
from torch import Tensor

from export.passes.graph_edges import GraphEdges
from runtime.model.session import run_unoptimized
from train.checkpoints.model_pt import Checkpoint
from train.quantization.choose_ranges import equalized_reference
from train.quantization.conversion import prepare
from train.quantization.observers import ActivationObserver
from train.quantization.quantizer import PORTABLE
from train.quantization.sensitivity import Sensitivity, sqnr_db

_WINDOWS = 8


def value_noise(
    data: bytes, checkpoint: Checkpoint, windows: Tensor, *, equalized: bool = False
) -> list[Sensitivity]:
    """Signal-to-noise ratio of every integer value, in the order of the graph.

    Args:
        data: the INT8 file.
        checkpoint: the model.pt that it was made from.
        windows: log-mels [n, 1, n_mels, frames]; a few of them are used.
        equalized: post-training quantization equalized the channels of the file.
    """
    x = windows[:: max(1, len(windows) // _WINDOWS)]
    if not len(x):
        return []
    network = equalized_reference(checkpoint) if equalized else checkpoint.build()
    prepared = prepare(network, checkpoint.input_shape, PORTABLE, _Recorder)
    with torch.no_grad():
        prepared(x)
    recorders = [module for module in prepared.modules() if isinstance(module, _Recorder)]
    expected = {recorder.name: recorder.seen for recorder in recorders if recorder.seen is not None}
    model = onnx.load_from_string(data)
    edges = GraphEdges(model)
    quantizers = {name: node for name in expected if (node := edges.quantizer(name)) is not None}
    constants = dict(network.named_parameters())  # GRN's beta is a value of the scheme, but no signal
    names = [name for name in expected if name in quantizers and name not in constants]
    outputs = [f"{name}:value" for name in names]
    for name, output in zip(names, outputs, strict=True):
        # its own parameters: a mean reads it with a scale of 1
        inputs = [name, *quantizers[name].input[1:]]
        node = onnx.helper.make_node("DequantizeLinear", inputs, [output])
        model.graph.node.append(node)
        model.graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    actual = run_unoptimized(model.SerializeToString(), x.numpy(), outputs)
    return [
        Sensitivity(name, sqnr_db(expected[name], torch.from_numpy(value)))
        for name, value in zip(names, actual, strict=True)
    ]


class _Recorder(ActivationObserver):
    """Records what passes through a value."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.seen: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Pass the value on."""
        if self.seen is None:  # values that share this range come later
            self.seen = x.detach()
        return x
