"""The distillation config of a recipe: its teachers, and their share of the loss."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from runtime.errors import ConfigError
from runtime.spec import Task
from train.distillation.losses import binary_distillation, soft_cross_entropy, soften


@dataclass(frozen=True)
class Distillation:
    """Teachers and the loss between them and the student: w x cross-entropy + (1 - w) x teacher loss.

    Attributes:
        stores: logit stores, files of `python -m train teach`; their logits are averaged.
        teachers: model.pt, .onnx or package.module:name, run at every step instead of stores.
        weights: of the stores or teachers in the average; null gives all the same weight.
        label_weight: w, the share of the cross-entropy with the labels; 0 needs no label anywhere. The
            divergence is summed over the classes: CP-JKU, who take its mean over ten, write 0.02 for what
            is 0.17 here.
        temperature: T, which softens the logits of student and teacher.
        similarity_weight: of `similarity_matching` (losses.py) between the features of the student and of
            each teacher, added to the teacher loss; for model.pt teachers that run at every step.
        teacher_input: ``scene`` lets teachers receive what sounded, before `Capture` degrades it for the
            student; ``capture`` the degraded waveform.
        loss: ``kl`` for one label a clip; ``bce`` for any number of labels, and for CED's top-k logits.
    """

    stores: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()
    weights: tuple[float, ...] | None = None
    label_weight: float = 0.02
    temperature: float = 2.0
    similarity_weight: float = 0.0
    loss: Literal["kl", "bce"] = "kl"
    teacher_input: Literal["scene", "capture"] = "scene"

    def __post_init__(self) -> None:
        sources = len(self.stores) + len(self.teachers)
        if not sources or (self.stores and self.teachers):
            raise ConfigError(
                "Distillation needs either model.distillation.stores (files of `python -m train teach`) or "
                "model.distillation.teachers (model.pt, .onnx, package.module:name), not both: give one."
            )
        if self.weights is not None and (len(self.weights) != sources or min(self.weights) <= 0):
            raise ConfigError(
                f"model.distillation.weights are {sources} numbers above 0, one for each teacher or store."
            )
        if not 0 <= self.label_weight <= 1 or not self.temperature > 0:
            raise ConfigError(
                "model.distillation.label_weight lies in [0, 1] and temperature above 0, not "
                f"{self.label_weight} and {self.temperature}."
            )
        models = self.teachers and all(Path(name).suffix == ".pt" for name in self.teachers)
        if self.similarity_weight < 0 or (self.similarity_weight and not models):
            raise ConfigError(
                "model.distillation.similarity_weight is 0 or more and compares features, which only "
                "model.pt teachers expose: name those in model.distillation.teachers."
            )

    @property
    def files_exist(self) -> bool:
        """Whether every store and model file of the recipe is there."""
        files = map(Path, (*self.stores, *self.teachers))
        return all(file.is_file() for file in files if file.suffix in (".h5", ".pt", ".onnx"))

    def soften(self, logits: Tensor, task: Task) -> Tensor:
        """Teacher logits [batch, classes] -> the probabilities that the loss compares with, same shape."""
        return soften(logits, self.temperature, task)

    def teacher_loss(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Student logits and softened teacher probabilities, both [batch, classes] -> a scalar."""
        loss = soft_cross_entropy if self.loss == "kl" else binary_distillation
        return loss(logits, teacher, self.temperature)
