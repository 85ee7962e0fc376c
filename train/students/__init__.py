"""The networks that fit the budget: one file per architecture, read from top to bottom.

A student is an ``nn.Module`` from log-mel [batch, 1, mels, frames] to logits [batch, n_classes] whose
arguments are JSON values; `STUDENTS` is how model.pt and recipes name it.
"""

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from runtime.errors import ConfigError
from train.students.cp_mobile import CPMobile

__all__ = ["STUDENTS", "CPMobile", "build"]

STUDENTS: dict[str, type[nn.Module]] = {"cp_mobile": CPMobile}


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a student by name.

    Raises:
        ConfigError: for an unknown student or argument; it names the nearest one.
    """
    if name not in STUDENTS:
        raise ConfigError(f"No student is called '{name}': {_nearest(name, list(STUDENTS))}.")
    known = list(inspect.signature(STUDENTS[name]).parameters)
    for argument in arguments:
        if argument not in known:
            raise ConfigError(f"The student '{name}' takes no '{argument}': {_nearest(argument, known)}.")
    return STUDENTS[name](**arguments)


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"choose from {', '.join(known)}"
