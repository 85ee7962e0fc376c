"""The two calls of this room: measure a network, and refuse it when it is over its limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from complexity.budget import DEFAULT, Budget, OverBudgetError
from complexity.count_torch import count_official
from complexity.front_end import front_end_macs
from complexity.report import Report
from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec

if TYPE_CHECKING:
    from torch import nn

STORED_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}


def measure(
    model: nn.Module,
    input_shape: Sequence[int],
    *,
    stored_dtype: str = "int8",
    budget: Budget = DEFAULT,
    frontend: FrontEndSpec | None = None,
) -> Report:
    """Weigh a float network before its conversion.

    Args:
        model: the float network.
        input_shape: shape of its input, [batch, ...]; the batch is counted as 1.
        stored_dtype: data type that the parameters will be stored in, a key of `STORED_BYTES`.
        budget: rules to hold it against.
        frontend: what computes its input; the last axis of ``input_shape`` is then the frames.

    Raises:
        ConfigError: where the stored data type is unknown or the network does not take the shape.
        MissingExtraError: where torch or torchinfo is not installed.

    Example:
        >>> from torch import nn
        >>> measure(nn.Conv2d(1, 8, 3, bias=False), (1, 1, 10, 10)).macs
        4608
    """
    if stored_dtype not in STORED_BYTES:
        raise ConfigError(
            f"Parameters cannot be stored as '{stored_dtype}': choose one of {', '.join(STORED_BYTES)}."
        )
    layers = count_official(model, input_shape)
    params = sum(layer.params or 0 for layer in layers)
    return Report(
        model=type(model).__name__,
        budget=budget,
        stored_dtype=stored_dtype,
        params=params,
        param_bytes=params * STORED_BYTES[stored_dtype],
        macs=sum(layer.macs or 0 for layer in layers),
        macs_deployed=None,
        param_bytes_deployed=None,
        peak_activation_bytes=None,
        front_end_macs=front_end_macs(frontend, input_shape[-1]) if frontend else None,
        file_bytes=None,
        uncounted=(),
        layers=layers,
    )


def check(report: Report) -> None:
    """Stop a model that is over its limits.

    Raises:
        OverBudgetError: one sentence that says by how much.
    """
    if not report.within:
        raise OverBudgetError(report.excess())
