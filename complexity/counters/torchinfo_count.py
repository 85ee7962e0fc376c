"""NeSsi's rule on a float network: torchinfo counts, because the organisers count with torchinfo.

The count is taken before any conversion to INT8: torchinfo reads 0 parameters and 0 MACs from a converted
network, a false pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.entry_point import require
from runtime.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class OfficialLayer:
    """torchinfo's count of one call of a module; a leaf stands for all that is executed inside it."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    macs: int
    leaf: bool


def count_official(model: nn.Module, inputs: Sequence[torch.Tensor]) -> tuple[OfficialLayer, ...]:
    """Layers whose sums are torchinfo's ``total_params`` and ``total_mult_adds`` at batch 1.

    Convolutions count weights and biases once per output position, every other module its weight and
    bias once; batch norm therefore 2C; functional operations count nothing (torchinfo 1.8.0,
    ``LayerInfo.calculate_macs``). Buffers are outside the rule. A complex parameter counts as two, for it
    is stored as two numbers; torchinfo counts one.

    Args:
        model: a float32 network on the CPU, see `complexity.counters.float_reference`.
        inputs: on which it runs; zeros, because random numbers would disturb the seed of a training.

    Raises:
        ConfigError: where torchinfo fails on a network that runs; its reason is quoted.
    """
    torchinfo = require("torchinfo", extra="train")
    try:
        summary = torchinfo.summary(model, input_data=list(inputs), verbose=0)
    except RuntimeError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ConfigError(
            f"torchinfo {torchinfo.__version__}, which the rule counts with, fails on {type(model).__name__} "
            f"({reason}): export the network to ONNX and measure the file."
        ) from error
    names = {id(module): name for name, module in model.named_modules()}
    return tuple(_layer(info, names) for info in summary.summary_list if _carries_counts(info))


def _carries_counts(info: Any) -> bool:
    """Leaves carry the counts; an inner module does if it holds parameters of its own."""
    return bool(info.is_leaf_layer) or (not info.is_recursive and info.leftover_params() > 0)


def _layer(info: Any, names: dict[int, str]) -> OfficialLayer:
    """One entry of torchinfo, counted as ``ModelStatistics`` sums it."""
    leaf = bool(info.is_leaf_layer)
    params = max(info.num_params if leaf else info.leftover_params(), 0)
    params += sum(p.numel() for p in info.module.parameters(recurse=leaf) if p.is_complex())
    return OfficialLayer(
        name=names.get(id(info.module), info.var_name),
        kind=info.class_name,
        output_shape=tuple(info.output_size),
        params=0 if info.is_recursive else params,
        macs=info.macs if leaf else 0,
        leaf=leaf,
    )
