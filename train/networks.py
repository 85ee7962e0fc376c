"""The registry of networks that model.pt and recipes name: students that ship, teachers that do not."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from runtime.errors import ConfigError
from train.students import STUDENTS
from train.suggestions import nearest
from train.teachers import TEACHERS

NETWORKS: dict[str, type[nn.Module]] = {**STUDENTS, **TEACHERS}


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network by name.

    Raises:
        ConfigError: for an unknown network or argument; it names the nearest one.
    """
    if name not in NETWORKS:
        raise ConfigError(f"There is no student '{name}': {nearest(name, list(NETWORKS))}")
    parameters = list(inspect.signature(NETWORKS[name]).parameters)
    for argument in arguments:
        if argument not in parameters:
            raise ConfigError(
                f"The student '{name}' has no argument '{argument}': {nearest(argument, parameters)}"
            )
    return NETWORKS[name](**arguments)
