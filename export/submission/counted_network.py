"""The networks that the organisers count: as trained, with parameters in the data types of the file.

The organisers run torchinfo on an ``nn.Module`` and add up the bytes of its parameters. An ONNX file is no
``nn.Module``, and torchinfo reads zero in a network that is converted to INT8. So a package holds each model
twice: the ONNX file that predicts, and this module, on which the rule is defined.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from train.students import STUDENTS

_EXTRA_STATE = "_extra_state"  # torch's name for it
_NETWORK = "network."


class CountedNetwork(nn.Module):
    """A network whose parameters are stored in INT8 or float16 and converted to float32 when it runs.

    Its logits are near those of the ONNX file, which has integer activations and folded batch norms besides.

    Args:
        network: the float network; it is changed.
        scales: parameter name to the size of one INT8 step, see `step_sizes`.
        half: names of the parameters that are stored as float16. All others stay float32.
    """

    def __init__(self, network: nn.Module, scales: Mapping[str, Tensor], half: Collection[str] = ()) -> None:
        super().__init__()
        self.network = network
        self.scales = dict(scales)
        self.half_names = frozenset(half)
        for name, scale in scales.items():
            self._store(name, (network.get_parameter(name).detach() / scale).round().to(torch.int8))
        for name in half:
            self._store(name, network.get_parameter(name).detach().half())

    def _store(self, name: str, value: Tensor) -> None:
        owner, _, leaf = name.rpartition(".")
        setattr(self.network.get_submodule(owner), leaf, nn.Parameter(value, requires_grad=False))

    def forward(self, log_mel: Tensor) -> Tensor:
        """Log-mel [batch, 1, mels, frames] -> logits [batch, classes]."""
        weights = {name: self.network.get_parameter(name).to(log_mel) for name in self.half_names}
        for name, scale in self.scales.items():
            weights[name] = self.network.get_parameter(name) * scale.to(log_mel)
        return cast(Tensor, functional_call(self.network, weights, (log_mel,)))

    def get_extra_state(self) -> dict[str, Tensor]:
        """The scales, without which the integers in a state_dict mean nothing."""
        return self.scales

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take the scales from a state_dict."""
        self.scales = state


def step_sizes(parameter: Tensor) -> Tensor:
    """Symmetric INT8 steps, one for each output channel of a weight, one for a vector."""
    axes = tuple(range(1, parameter.dim())) or (0,)
    return (parameter.detach().abs().amax(axes, keepdim=True) / 127).clamp_min(1e-12)


def save_counted(path: Path, student: str, arguments: Mapping[str, object], counted: CountedNetwork) -> None:
    """Write what `load_counted` reads."""
    values = {"student": student, "arguments": dict(arguments), "state_dict": counted.state_dict()}
    torch.save(values, path)


def load_counted(path: Path) -> CountedNetwork:
    """Read a counted network; nothing in the file is run."""
    values = torch.load(path, map_location="cpu", weights_only=True)
    state = values["state_dict"]
    half = [
        name.removeprefix(_NETWORK)
        for name, tensor in state.items()
        if isinstance(tensor, Tensor) and tensor.dtype == torch.float16
    ]
    network = STUDENTS[values["student"]](**values["arguments"])
    counted = CountedNetwork(network, state[_EXTRA_STATE], half)
    counted.load_state_dict(state)
    return counted.eval()
