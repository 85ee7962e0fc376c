"""A forward hook that retains the features which a network's classification head reads."""

from __future__ import annotations

from torch import Tensor, nn

HEAD = "feed_forward"  # the name of the head in every network of `train.networks`


class FeatureHook:
    """Retains the input of a network's head.

    Args:
        network: a network whose head is its direct child `HEAD`; the hook does nothing for any other.

    Attributes:
        last: features of the last forward pass, [batch, channels, mels, frames]; None before the first one,
            or where the network has no such head.
    """

    def __init__(self, network: nn.Module) -> None:
        self.last: Tensor | None = None
        head = dict(network.named_children()).get(HEAD)
        if head is not None:
            head.register_forward_pre_hook(self._retain)

    def _retain(self, head: nn.Module, inputs: tuple[Tensor]) -> None:
        self.last = inputs[0]
