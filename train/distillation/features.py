"""A forward hook that retains the features which a network's classification head reads."""

from __future__ import annotations

from torch import Tensor, nn

# the names of the heads, or last layers, of all networks of `train.networks`
HEADS = ("feed_forward", "classifier", "linear2", "head", "mlp_head", "outputlayer", "predictor")


class FeatureHook:
    """Retains the input of a network's head.

    Args:
        network: a network whose head is a direct child with a name of `HEADS`; others expose nothing.

    Attributes:
        last: features of the last forward pass: [batch, channels, mels, frames] of feature maps, [batch,
            tokens, channels] or [batch, channels] of the others; None before the first one, or where the
            network has no such head.
    """

    def __init__(self, network: nn.Module) -> None:
        self.last: Tensor | None = None
        for name, child in network.named_children():
            if name in HEADS:
                child.register_forward_pre_hook(self._retain)

    def _retain(self, head: nn.Module, inputs: tuple[Tensor]) -> None:
        self.last = inputs[0]
