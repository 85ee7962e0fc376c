"""The training objective under distillation: cross-entropy with the labels and a loss with the teachers."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from runtime.errors import ConfigError
from runtime.spec import Task
from train.augmentation.views import View
from train.data import Batch
from train.distillation.ensemble import TeacherEnsemble
from train.distillation.losses import agreement


class Objective(NamedTuple):
    """The loss of one batch, and what the log shows of it.

    Attributes:
        loss: a scalar.
        logged: name to a mean over the batch.
        teacher_accuracy: share of the labelled examples for which the teacher is right; None without any.
        labelled: number of labelled examples.
    """

    loss: Tensor
    logged: dict[str, Tensor]
    teacher_accuracy: Tensor | None
    labelled: int


def objective(
    teachers: TeacherEnsemble,
    batch: Batch,
    view: View,
    logits: Tensor,
    on_labels: Tensor,
    features: Tensor | None,
    task: Task,
) -> Objective:
    """Combine the cross-entropy with the teacher loss, as `Distillation` weights them.

    Args:
        teachers: the ensemble.
        batch: of the training split.
        view: what the student was shown of it.
        logits: the student's, [batch, classes].
        on_labels: the cross-entropy with the labels, a scalar.
        features: what the student's head was given, [batch, channels, mels, frames], or None.
        task: of the corpus.
    """
    config = teachers.distillation
    expected = teachers.mixed_like(view, config.soften(teachers.logits(batch, view), task))
    on_teachers = config.teacher_loss(logits, expected)
    logged = {}
    if config.similarity_weight:
        logged["loss_features"] = teachers.similarity(_require_features(features))
        on_teachers = on_teachers + config.similarity_weight * logged["loss_features"]
    logged |= {
        "loss_labels": on_labels,
        "loss_teachers": on_teachers,
        "agreement": agreement(logits, expected),
    }
    labelled = batch.labelled > 0
    accuracy = agreement(expected[labelled], batch.target[labelled]) if labelled.any() else None
    share = config.label_weight
    loss = share * on_labels + (1 - share) * on_teachers
    return Objective(loss, logged, accuracy, int(labelled.sum()))


def _require_features(features: Tensor | None) -> Tensor:
    if features is None:
        raise ConfigError(
            "The student's features are not available in this training (quantization-aware training runs a "
            "copy of the student): set model.distillation.similarity_weight to 0."
        )
    return features
