"""Alignment of the scales in a prepared graph, so that every kernel rounds alike (see `qparams.py`)."""

from __future__ import annotations

import torch
from torch.fx import GraphModule

from train.quantization.observers import ActivationObserver, WeightObserver
from train.quantization.qparams import off_ties, power_of_two, whole_parts
from train.quantization.quantizer import Operation, operations_of

Values = dict[str, ActivationObserver]


def align_scales(prepared: GraphModule) -> None:
    """Choose the scales of a prepared graph so that no requantization has a tie to break.

    Scales change by a few per mille, those of a sum's operands by up to 1/127 of the sum's scale, and those
    of values that float arithmetic computes by less than a factor of two. Where two operations constrain the
    same value, the first in the graph decides.
    """
    values, weights = observers_of(prepared)
    operations = operations_of(prepared)
    for value in values.values():
        value.scale = None
        value.scale, _ = value.parameters()
    computed_in_float = {operation.result for operation in operations if operation.kind == "float"}
    for name in computed_in_float:
        values[name].scale = power_of_two(_scale(values, name))
    for operation in reversed(operations):  # the scale of a result is chosen before those of its operands
        _align_operands(operation, values, computed_in_float)
    for operation in operations:
        _align_result(operation, values)
    for operation in operations:
        if operation.kind == "layer":
            step = _scale(values, operation.result) / _scale(values, operation.operands[0])
            weights[operation.name].step = step


def reset_scales(prepared: GraphModule) -> None:
    """Undo `align_scales`: scales follow the ranges again."""
    values, weights = observers_of(prepared)
    for value in values.values():
        value.scale = None
    for weight in weights.values():
        weight.step = None


def observers_of(prepared: GraphModule) -> tuple[Values, dict[str, WeightObserver]]:
    """The observers of the values and those of the weights, by name."""
    modules = list(prepared.modules())
    values = {module.name: module for module in modules if isinstance(module, ActivationObserver)}
    return values, {module.name: module for module in modules if isinstance(module, WeightObserver)}


def _scale(values: Values, name: str) -> float:
    scale = values[name].scale
    assert scale is not None  # `align_scales` begins with one for each
    return scale


def _align_operands(operation: Operation, values: Values, fixed: set[str]) -> None:
    """Fit the operands of a sum or product to its result; the scales named in ``fixed`` do not change."""
    result, operands = _scale(values, operation.result), operation.operands
    if operation.kind == "sum":
        for name in operands:
            values[name].scale = result * whole_parts(_scale(values, name) / result)
    elif operation.kind == "product":
        free, other = sorted(operands, key=lambda name: values[name].name in fixed)
        ratio = _scale(values, free) * _scale(values, other) / result
        values[free].scale = result / _scale(values, other) * _off_ties(ratio)


def _align_result(operation: Operation, values: Values) -> None:
    """Fit the result of a square or pool to its operand."""
    if operation.kind in ("square", "pool"):
        operand = _scale(values, operation.operands[0])
        step = operand**2 if operation.kind == "square" else operand / operation.entries
        values[operation.result].scale = step / _off_ties(step / _scale(values, operation.result))


def _off_ties(ratio: float) -> float:
    return float(off_ties(torch.tensor(ratio, dtype=torch.float64)))
