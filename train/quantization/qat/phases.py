"""The phases of quantization-aware training: what moves in each of them."""

from __future__ import annotations

from enum import Enum


class QatPhase(str, Enum):
    """What a `train.quantization.qat.network.QatNetwork` lets move; saved with its weights.

    ``CALIBRATING``: ranges are observed in the float network; nothing is rounded, nothing is trained.
    ``OBSERVING``: values are rounded; in training, ranges and batch-norm statistics follow the batches, and
    the scales of weights follow the weights.
    ``FROZEN``: ranges, batch-norm statistics and scales and the scales of weights are fixed, as in the
    exported file; only weights and biases are trained. `train.quantization.qat.freeze.freeze` begins it.
    """

    CALIBRATING = "calibrating"
    OBSERVING = "observing"
    FROZEN = "frozen"


def phase_of_epoch(epoch: int, epochs: int, frozen_share: float) -> QatPhase:
    """The phase that an epoch is trained in.

    Args:
        epoch: its number, from 0.
        epochs: of the whole training.
        frozen_share: the last part of them that is trained frozen; at least the last epoch is.
    """
    first = min(round(epochs * (1 - frozen_share)), epochs - 1)
    return QatPhase.FROZEN if epoch >= first else QatPhase.OBSERVING
