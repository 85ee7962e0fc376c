"""Every network that model.pt and recipes can name: the students that ship and the teachers that do not."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from runtime.errors import ConfigError
from train.students import STUDENTS
from train.suggestions import nearest
from train.teachers import TEACHERS

NETWORKS: dict[str, type[nn.Module]] = {**STUDENTS, **TEACHERS}


class Features:
    """What the last part of a network, ``feed_forward``, was given when the network ran last.

    Args:
        network: one that ends in a part of that name, as all in this room do.

    Attributes:
        last: [batch, channels, mels, frames]; None before the first run, or where there is no such part.
    """

    def __init__(self, network: nn.Module) -> None:
        self.last: Tensor | None = None
        for name, part in network.named_children():
            if name == "feed_forward":
                part.register_forward_pre_hook(self._keep)

    def _keep(self, part: nn.Module, inputs: tuple[Tensor]) -> None:
        self.last = inputs[0]


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network by name.

    Raises:
        ConfigError: for an unknown network or argument; it names the nearest one.
    """
    if name not in NETWORKS:
        raise ConfigError(f"No student is called '{name}': {nearest(name, list(NETWORKS))}")
    known = list(inspect.signature(NETWORKS[name]).parameters)
    for argument in arguments:
        if argument not in known:
            raise ConfigError(f"The student '{name}' takes no '{argument}': {nearest(argument, known)}")
    return NETWORKS[name](**arguments)
