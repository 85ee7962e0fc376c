"""The networks that fit the budget: one file per architecture, read from top to bottom.

A student is an ``nn.Module`` from log-mel [batch, 1, mels, frames] to logits [batch, n_classes] whose
arguments are JSON values; `STUDENTS` is how model.pt and recipes name it.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from runtime.errors import ConfigError
from train.nearest import nearest
from train.students.baseline_2024 import Baseline2024
from train.students.cp_mobile import CPMobile

__all__ = ["STUDENTS", "Baseline2024", "CPMobile", "build"]

STUDENTS: dict[str, type[nn.Module]] = {"baseline_2024": Baseline2024, "cp_mobile": CPMobile}


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a student by name.

    Raises:
        ConfigError: for an unknown student or argument; it names the nearest one.
    """
    if name not in STUDENTS:
        raise ConfigError(f"No student is called '{name}': {nearest(name, list(STUDENTS))}")
    known = list(inspect.signature(STUDENTS[name]).parameters)
    for argument in arguments:
        if argument not in known:
            raise ConfigError(f"The student '{name}' takes no '{argument}': {nearest(argument, known)}")
    return STUDENTS[name](**arguments)
