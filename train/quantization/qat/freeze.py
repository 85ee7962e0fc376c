"""The step from observing to frozen in quantization-aware training."""

from __future__ import annotations

import torch

from train.quantization.observers import DEFAULT_OBSERVER
from train.quantization.ptq import Calibration
from train.quantization.qat.network import QatNetwork
from train.quantization.qat.phases import QatPhase


@torch.no_grad()
def freeze(network: QatNetwork, calibration: Calibration) -> None:
    """Fix ranges, batch norm and the scales of weights, at what `train.quantization.ptq` gives for them.

    From here on the network computes with the integers that the exported file would have, and training
    changes them one by one.

    Args:
        network: in any phase; it is left in `QatPhase.FROZEN`, and in the mode (train or eval) that it had.
        calibration: of the student as it is now.
    """
    training = network.training
    ranges = calibration.ranges(DEFAULT_OBSERVER)
    for name, value in network.values.items():
        value.set_range(ranges[name])
    network.enter(QatPhase.OBSERVING)
    network.eval()  # aligns the scales of the values, which those of the weights follow from
    network.record_folded_weights()
    for layer in network.layers:
        layer.fake.frozen_scales.copy_(layer.fake.scales(layer.fake.folded))
        folded, scales = layer.fake.folded.cpu(), layer.fake.frozen_scales.cpu()
        rounded = calibration.round(layer.fake.name, folded, scales, network.scheme.weight_range)
        layer.weight.copy_(layer.unfold(rounded.to(layer.weight.device)))
    network.enter(QatPhase.FROZEN)
    network.train(training)
