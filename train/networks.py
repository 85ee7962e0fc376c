"""The registry of networks that model.pt and recipes name: students that ship, teachers that do not.

The class of a network may have, for the import of published weights and for fine-tuning:

- ``frontend``: the preset that its published weights were trained with (`cp_mel` where it has none);
- ``published_frontend``: a class method from arguments to that preset, where it depends on them;
- ``infer_arguments``: a class method from the shapes of weights to arguments, or None;
- ``arguments_of_config``: a class method from the table ``cfg`` of a file to arguments;
- ``not_in_weights``: arguments that shapes do not decide;
- ``unused_weights``: key prefixes of published weights that the network never applies;
- ``published_by``: project and licence of its published files;
- ``head``: the name of the module that another task replaces;
- ``layers``: names of modules from input to output, for layer-wise learning rates; ``part.*`` stands for all
  children of a part, and several names in one string are one layer;
- ``int8``: False where quantization has no rules for its operators.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from runtime.errors import ConfigError
from train.students import STUDENTS
from train.suggestions import nearest
from train.teachers import TEACHERS

NETWORKS: dict[str, type[nn.Module]] = {**STUDENTS, **TEACHERS}


def refuse_int8(name: str) -> None:
    """Raise ConfigError where a network cannot be quantized: INT8 has no rules for attention."""
    if not has_int8(name):
        raise ConfigError(
            f"A {name} cannot be quantized to INT8, which has no rules for attention: export it with "
            "`--quantize none` or `--quantize fp16`."
        )


def has_int8(name: str) -> bool:
    """Whether quantization has rules for all operators of a network."""
    return bool(getattr(NETWORKS.get(name), "int8", True))


def all_arguments(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a network with the defaults of those that are not given, as JSON values."""
    parameters = inspect.signature(NETWORKS[name]).parameters
    values = {key: parameter.default for key, parameter in parameters.items()} | dict(arguments)
    resolved: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return resolved


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network by name.

    Raises:
        ConfigError: for an unknown network or argument, with the nearest one, or a number out of its range.
    """
    if name not in NETWORKS:
        raise ConfigError(f"There is no student '{name}': {nearest(name, list(NETWORKS))}")
    parameters = inspect.signature(NETWORKS[name]).parameters
    for argument, value in arguments.items():
        if argument not in parameters:
            raise ConfigError(
                f"The student '{name}' has no argument '{argument}': {nearest(argument, list(parameters))}"
            )
        _check_number(argument, value, parameters[argument].annotation)
    return NETWORKS[name](**arguments)


def _check_number(argument: str, value: Any, annotation: Any) -> None:
    """What every network wants of its numbers; each checks what else it wants."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if annotation == "int" and not (whole and value >= 0):
        raise ConfigError(f"The argument {argument} is a whole number of 0 or more, not {value}.")
    if annotation == "float" and not (whole or (isinstance(value, float) and math.isfinite(value))):
        raise ConfigError(f"The argument {argument} is a finite number, not {value}.")
