"""Windows under a condition, and the scores that a file and its float reference give them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from export.verification.conditions import Condition
from runtime.audio.level import NO_SIGNAL_DBFS, level_dbfs
from runtime.classifier import Model
from train.checkpoints import model_pt
from train.data import ClipData
from train.data.corpus import Split
from train.distillation.losses import soften
from train.log_mel import LogMel

Array = npt.NDArray[np.float32]
_BATCH = 32


def windows_of(data: ClipData, split: Split = "test") -> tuple[torch.Tensor, Array]:
    """The windows [windows, samples] of a split, and their labels [windows, classes]."""
    dataset = data.datasets[split]
    starts = range(0, len(dataset), _BATCH)
    batches = [dataset.at_rest(range(i, min(i + _BATCH, len(dataset)))) for i in starts]
    return torch.cat([b.waveform for b in batches]), torch.cat([b.target for b in batches]).numpy()


def under(condition: Condition, waveform: torch.Tensor, rate: int) -> Array:
    """The windows [windows, samples] under a condition."""
    changed: Array = torch.cat([condition(part, rate) for part in torch.split(waveform, _BATCH)]).numpy()
    return changed


def has_signal(waveform: Array) -> npt.NDArray[np.bool_]:
    """Which of the windows [windows, samples] the runtime answers."""
    return np.array([level_dbfs(window) >= NO_SIGNAL_DBFS for window in waveform])


def scores_of(model: Model, waveform: Array) -> Array:
    """Probabilities [windows, classes] of windows that have a signal, by the runtime alone."""
    predictions = (model.classify(window, model.spec.frontend.sample_rate) for window in waveform)
    scores = [[prediction.scores[label] for label in model.labels] for prediction in predictions]
    return np.array(scores, np.float32).reshape(len(waveform), len(model.labels))


def float_scores_of(checkpoint: model_pt.Checkpoint, waveform: Array) -> Array:
    """The same of the float network, in torch."""
    network, log_mel = checkpoint.build(), LogMel(checkpoint.frontend)
    parts = torch.split(torch.from_numpy(waveform), _BATCH)
    with torch.inference_mode():
        scores: Array = torch.cat(
            [soften(network(log_mel(part)), checkpoint.temperature, checkpoint.task) for part in parts]
        ).numpy()
    return scores
