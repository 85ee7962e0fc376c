"""Windows under a condition, and the scores that a file and its float reference give them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
    """The windows [windows, samples] of a split, and their labels [windows, classes].

    All at once, 128 kB each at 32 kHz: see `parts_of` for splits of any size.
    """
    return torch.from_numpy(np.concatenate(list(parts_of(data, split)))), targets_of(data, split)


def parts_of(data: ClipData, split: Split) -> Iterator[Array]:
    """The windows of a split in their order, a few [windows, samples] at a time."""
    dataset = data.datasets[split]
    for start in range(0, len(dataset), _BATCH):
        yield dataset.at_rest(range(start, min(start + _BATCH, len(dataset)))).waveform.numpy()


def targets_of(data: ClipData, split: Split) -> Array:
    """The labels of the windows of a split, [windows, classes]."""
    dataset = data.datasets[split]
    return np.asarray(dataset.targets[[window.clip for window in dataset.windows]], np.float32)


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
    return float_scores_of_parts(checkpoint, [waveform])


def float_scores_of_parts(checkpoint: model_pt.Checkpoint, parts: Iterable[Array]) -> Array:
    """The same of windows that come a few at a time."""
    logits = float_logits_of_parts(checkpoint, parts)
    scores: Array = soften(logits, checkpoint.temperature, checkpoint.task).numpy()
    return scores


def float_logits_of_parts(checkpoint: model_pt.Checkpoint, parts: Iterable[Array]) -> torch.Tensor:
    """Logits [windows, classes] of the float network, of windows that come a few at a time."""
    network, log_mel = checkpoint.build(), LogMel(checkpoint.frontend)
    batches = (batch for part in parts for batch in torch.split(torch.from_numpy(part), _BATCH))
    with torch.inference_mode():
        return torch.cat([network(log_mel(batch)) for batch in batches])
