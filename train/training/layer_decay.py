"""Layer-wise learning rates: the nearer a layer is to the input, the less fine-tuning changes it.

Clark et al., "ELECTRA", ICLR 2020; for vision transformers Bao et al., "BEiT", ICLR 2022, whose groups these
are: what comes before the layers is one group, and what comes after the last layer learns at the full rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from runtime.errors import ConfigError


def parameter_groups(network: nn.Module, lr: float, decay: float) -> list[dict[str, Any]]:
    """The trained parameters of a network for an optimizer, with a learning rate for each depth.

    Args:
        network: its class lists its ``layers``, see `train.networks`.
        lr: of the part that comes last.
        decay: the rate of a layer over that of the next one; 1 gives all the same.

    Raises:
        ConfigError: where the decay is out of range, or the network lists no layers.
    """
    if not 0 < decay <= 1:
        raise ConfigError(f"model.layer_decay lies above 0 and up to 1, not {decay}.")
    trained = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    if decay == 1:
        return [{"params": [parameter for _, parameter in trained], "lr": lr}]
    layers = _layers(network)
    groups: list[dict[str, Any]] = [
        {"params": [], "lr": lr * decay ** (len(layers) - depth)} for depth in range(len(layers) + 1)
    ]
    for name, parameter in trained:
        groups[_depth(name, layers)]["params"].append(parameter)
    return [group for group in groups if group["params"]]


def _layers(network: nn.Module) -> list[tuple[str, ...]]:
    """Names of the parts of every layer, from input to output; those of ``*`` are all children of a part."""
    listed: Sequence[str] = getattr(type(network), "layers", ())
    if not listed:
        raise ConfigError(
            f"model.layer_decay: {type(network).__name__} lists no layers: leave layer_decay out, or train a "
            "teacher."
        )
    return [layer for entry in listed for layer in _expand(network, entry)]


def _expand(network: nn.Module, entry: str) -> Iterator[tuple[str, ...]]:
    if not entry.endswith(".*"):
        yield tuple(entry.split())
        return
    parent = entry.removesuffix(".*")
    for name, child in network.get_submodule(parent).named_children():
        if any(True for _ in child.parameters()):  # poolings are no layers
            yield (f"{parent}.{name}",)


def _depth(name: str, layers: Sequence[tuple[str, ...]]) -> int:
    """0 for what comes before the layers, else the place of the layer that a parameter is part of, from 1."""
    for place, parts in enumerate(layers, start=1):
        if any(name.startswith(f"{part}.") for part in parts):
            return place
    return 0
