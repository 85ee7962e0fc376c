"""NeSsi's rule on a float network: torchinfo counts, because the organisers count with torchinfo.

The count is taken before any conversion to INT8: the converted network hides its weights from
torchinfo, which then reads 0 parameters and 0 MACs, a false pass.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.entry_point import require
from runtime.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

_EIGHT_BITS = ("torch.int8", "torch.uint8", "torch.qint8", "torch.quint8")


@dataclass(frozen=True)
class OfficialRow:
    """What torchinfo tells of one call of a module; a leaf stands for all that happens inside it."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    macs: int
    leaf: bool


def float_twin(model: nn.Module) -> nn.Module:
    """A copy to count on: float32, on the CPU, in eval mode; the network itself stays as it is.

    The organisers count on such a copy too (DCASE 2025 baseline, helpers/complexity.py).

    Raises:
        ConfigError: where the network holds INT8 weights, because torchinfo would not see them.
    """
    if any(b.numel() > 1 and str(b.dtype) in _EIGHT_BITS for b in model.buffers()):
        raise ConfigError(
            "The network is converted to INT8, where the rule's counter reads zero: measure the float "
            "network before its conversion, or the .onnx file."
        )
    return copy.deepcopy(model).float().cpu().eval()


def count_official(model: nn.Module, input_shape: Sequence[int]) -> tuple[OfficialRow, ...]:
    """Rows whose sums are torchinfo's ``total_params`` and ``total_mult_adds`` at batch 1.

    Convolutions count weights and biases once per output position, every other module its weight and
    bias once; batch norm therefore 2C; functional operations count nothing (torchinfo 1.8.0,
    ``LayerInfo.calculate_macs``).

    Args:
        model: a float32 network on the CPU, see `float_twin`.
        input_shape: shape of its input, [batch, ...]; the batch is taken as 1.
    """
    torch = require("torch", extra="train")
    torchinfo = require("torchinfo", extra="train")
    # zeros instead of torchinfo's random input: counting must not disturb the seed of a training
    summary = torchinfo.summary(model, input_data=[torch.zeros(1, *input_shape[1:])], verbose=0)
    names = {id(module): name for name, module in model.named_modules()}
    return tuple(_row(info, names) for info in summary.summary_list if _has_row(info))


def _has_row(info: Any) -> bool:
    """Leaves carry the counts; an inner module has a row if it holds parameters of its own."""
    return bool(info.is_leaf_layer) or (not info.is_recursive and info.leftover_params() > 0)


def _row(info: Any, names: dict[int, str]) -> OfficialRow:
    """One torchinfo row, counted as ``ModelStatistics`` sums it."""
    leaf = bool(info.is_leaf_layer)
    return OfficialRow(
        name=names.get(id(info.module), info.var_name),
        kind=info.class_name,
        output_shape=tuple(info.output_size),
        params=0 if info.is_recursive else max(info.num_params if leaf else info.leftover_params(), 0),
        macs=info.macs if leaf else 0,
        leaf=leaf,
    )
