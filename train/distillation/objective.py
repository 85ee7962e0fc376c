"""The training objective under distillation: cross-entropy with the labels and a loss with the teachers."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from runtime.errors import ConfigError
from train.distillation.ensemble import Expected, TeacherEnsemble
from train.distillation.losses import agreement


class Objective(NamedTuple):
    """The loss of one batch, and what the log shows of it.

    Attributes:
        loss: a scalar.
        logged: name to a mean over the batch.
        teacher_accuracy: share of the examples of a class for which the teacher is right; None without any.
        labelled: number of these examples.
    """

    loss: Tensor
    logged: dict[str, Tensor]
    teacher_accuracy: Tensor | None
    labelled: int


def objective(
    teachers: TeacherEnsemble,
    expected: Expected,
    logits: Tensor,
    on_labels: Tensor,
    features: Tensor | None,
    target: Tensor,
    labelled: Tensor,
) -> Objective:
    """Combine the cross-entropy with the teacher loss, as `Distillation` weights them.

    Args:
        teachers: the ensemble.
        expected: of a training batch.
        logits: the student's, [batch, classes].
        on_labels: the cross-entropy with the labels, a scalar.
        features: what the student's head was given, [batch, ...], or None.
        target: labels of the clips, [batch, classes].
        labelled: [batch], 1 where a clip is labelled.
    """
    config = teachers.distillation
    on_teachers = config.teacher_loss(logits, expected.probabilities)
    logged = {}
    if config.similarity_weight:
        logged["loss_features"] = teachers.similarity(_require_features(features), expected)
        on_teachers = on_teachers + config.similarity_weight * logged["loss_features"]
    logged |= {
        "loss_labels": on_labels,
        "loss_teachers": on_teachers,
        "agreement": agreement(logits, expected.probabilities),
    }
    known = (labelled > 0) & target.any(dim=1)  # a negative has no class that a teacher could be right about
    accuracy = agreement(expected.probabilities[known], target[known]) if known.any() else None
    share = config.label_weight
    loss = share * on_labels + (1 - share) * on_teachers
    return Objective(loss, logged, accuracy, int(known.sum()))


def _require_features(features: Tensor | None) -> Tensor:
    if features is None:
        raise ConfigError(
            "The student's features are not available in this training (quantization-aware training runs a "
            "copy of the student): set model.distillation.similarity_weight to 0."
        )
    return features
