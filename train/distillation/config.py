"""Distillation in a recipe: who teaches, and how much the student listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from runtime.errors import ConfigError, DataError
from runtime.spec import FrontEndSpec, Task
from train.data import Batch, ClipWindows
from train.distillation.logit_store import AT_REST, Store
from train.distillation.losses import binary_distillation, similarity_matching, soft_cross_entropy, soften
from train.distillation.teachers import Teacher, find_teacher
from train.training.augmentation import View


@dataclass(frozen=True)
class Distillation:
    """Teachers and the weight of what they say: loss = w x labels + (1 - w) x teachers.

    Attributes:
        stores: files of `python -m train teach`; their logits are averaged.
        teachers: model.pt, .onnx or package.module:name, asked at every step instead of stores.
        weights: of the stores or teachers in the average; null weighs all alike.
        label_weight: w, the share of the loss on labels; 0 needs no label anywhere. The divergence is summed
            over the classes: CP-JKU, who take its mean over ten, write 0.02 for what is 0.17 here.
        temperature: T that softens both sides.
        similarity_weight: of `similarity_matching` (losses.py) between the features of the student and of
            each teacher, added to what the teachers' answers cost; for model.pt teachers asked at every step.
        loss: ``kl`` for one label a clip; ``bce`` for any number of them, and for CED's top-k logits.
    """

    stores: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()
    weights: tuple[float, ...] | None = None
    label_weight: float = 0.02
    temperature: float = 2.0
    similarity_weight: float = 0.0
    loss: Literal["kl", "bce"] = "kl"

    def __post_init__(self) -> None:
        sources = len(self.stores) + len(self.teachers)
        if not sources or (self.stores and self.teachers):
            raise ConfigError(
                "Who teaches? Give model.distillation.stores (files of `python -m train teach`) or "
                "model.distillation.teachers (model.pt, .onnx, package.module:name), not both."
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
                "model.distillation.similarity_weight is 0 or more and compares with features, which only "
                "model.pt teachers show: name those in model.distillation.teachers."
            )

    @property
    def at_hand(self) -> bool:
        """Whether all stores and model files lie where the recipe says."""
        files = map(Path, (*self.stores, *self.teachers))
        return all(file.is_file() for file in files if file.suffix in (".h5", ".pt", ".onnx"))

    def probabilities(self, logits: Tensor, task: Task) -> Tensor:
        """The teachers' logits [batch, classes] -> what the loss compares with, [batch, classes]."""
        return soften(logits, self.temperature, task)

    def teacher_loss(self, logits: Tensor, taught: Tensor) -> Tensor:
        """The student's logits and `probabilities`, both [batch, classes] -> a scalar."""
        loss = soft_cross_entropy if self.loss == "kl" else binary_distillation
        return loss(logits, taught, self.temperature)


class Lessons:
    """The teachers of one training, opened and checked.

    Args:
        distillation: who they are.
        labels: of the student.
        task: of the student.
        spec: the student's front end.
        train: the training split; None where the teachers only judge.
        view: what the student's views follow from, as JSON values.
        window: samples of the student's window.
        device: where teachers run that are asked at every step.

    Attributes:
        distillation: as given.
        views: number of views that the student may see; None where there is no end of them.
        mixed: whether the teachers saw what MixUp had mixed.

    Raises:
        TinysceneError: where a teacher or store does not fit the training; it says which and why.
    """

    def __init__(
        self,
        distillation: Distillation,
        *,
        labels: Sequence[str],
        task: Task,
        spec: FrontEndSpec,
        train: ClipWindows | None,
        window: int,
        view: dict[str, Any],
        device: torch.device,
    ) -> None:
        self.distillation, self._spec, self._train = distillation, spec, train
        self._known: dict[ClipWindows, bool] = {}
        self._stores = [Store(path) for path in distillation.stores]
        self._teachers = [find_teacher(name, device=device) for name in distillation.teachers]
        for store in self._stores:
            store.check(labels, spec.sample_rate, view if train is not None else store.header.view)
        for name, teacher in zip(distillation.teachers, self._teachers, strict=True):
            _check_teacher(name, teacher, labels, window / spec.sample_rate)
        sources: list[Store | Teacher] = [*self._stores, *self._teachers]
        tasks = {s.header.task if isinstance(s, Store) else s.task for s in sources}
        mixed = {s.header.mixed if isinstance(s, Store) else s.sees_mixing for s in sources}
        views = {store.header.views for store in self._stores}
        if len(mixed) > 1 or len(views) > 1:
            raise ConfigError(
                "The teachers answered to different things (some to views, some at rest or to waveforms): "
                "make a store of each with the same --views, or teach with one kind."
            )
        if tasks != {task}:
            raise ConfigError(
                f"The data is {task} and a teacher answers {', '.join(sorted(tasks - {task}))}: take a "
                "teacher of the same task."
            )
        if distillation.loss == "kl" and task == "multi_label":
            raise ConfigError("With several labels a clip, teach with model.distillation.loss=bce.")
        self.mixed, self.views = mixed.pop(), (views.pop() if views else 0) or None
        self._columns = [store.order_of(labels) for store in self._stores]
        self._columns += [[teacher.labels.index(label) for label in labels] for teacher in self._teachers]
        weights = torch.tensor(distillation.weights or [1.0] * len(sources))
        self._weights = (weights / weights.sum()).tolist()
        self._places = [] if train is None else [self._find(store, train) for store in self._stores]

    @staticmethod
    def _find(store: Store, dataset: ClipWindows) -> np.ndarray:
        places = store.find([clip.id for clip in dataset.clips])
        if (places < 0).any():
            unknown = [clip.id for clip, place in zip(dataset.clips, places, strict=True) if place < 0]
            raise DataError(
                f"{store.path} has no answer for {len(unknown)} of {len(places)} training clips, for example "
                f"{unknown[0]}: make it again with this recipe's corpus and split."
            )
        return places

    def logits(self, batch: Batch, view: View) -> Tensor:
        """The average of what the teachers say to a training batch: [batch, classes]."""
        assert self._train is not None, "opened to judge, not to teach"
        number = AT_REST if self.views is None else self._train.epoch
        answers = []
        for store, places in zip(self._stores, self._places, strict=True):
            where = places[batch.clip.cpu().numpy()]
            answers.append(store.lookup(where, batch.start.cpu().numpy(), number, self._train.length))
        answers += [teacher.logits(view, self._spec) for teacher in self._teachers]
        return self._average(answers).to(view.log_mel.device)

    def similarity(self, features: Tensor) -> Tensor:
        """How differently the student and its teachers found the last batch alike: a scalar.

        Args:
            features: the student's, [batch, channels, mels, frames].
        """
        shown = [teacher.features for teacher in self._teachers if teacher.features is not None]
        costs = [similarity_matching(features, each) for each in shown]
        return torch.stack([w * cost for w, cost in zip(self._weights, costs, strict=True)]).sum()

    def logits_at_rest(self, batch: Batch, dataset: ClipWindows, log_mel: Tensor) -> Tensor | None:
        """What they say to windows of an evaluation split, or None where a store does not know its clips."""
        if not self.know(dataset):
            return None
        answers = []
        for store in self._stores:
            places = store.find([dataset.clips[clip].id for clip in batch.clip.tolist()])
            answers.append(store.lookup(places, batch.start.cpu().numpy(), AT_REST, dataset.length))
        view = View(batch.waveform, log_mel, None)
        answers += [teacher.logits(view, self._spec) for teacher in self._teachers]
        return self._average(answers).to(log_mel.device)

    def know(self, dataset: ClipWindows) -> bool:
        """Whether they can answer to every clip of an evaluation split."""
        if dataset not in self._known:
            ids = [clip.id for clip in dataset.clips]
            known = all(store.knows_at_rest(store.find(ids)) for store in self._stores)
            self._known[dataset] = bool(ids) and known
        return self._known[dataset]

    def _average(self, answers: Sequence[Tensor]) -> Tensor:
        parts = zip(self._weights, answers, self._columns, strict=True)
        return torch.stack([weight * answer[:, columns] for weight, answer, columns in parts]).sum(dim=0)

    def describe(self) -> list[dict[str, Any]]:
        """The teachers, for the provenance of what they taught."""
        stored = [teacher for store in self._stores for teacher in store.header.provenance]
        return stored + [teacher.describe() for teacher in self._teachers]


def _check_teacher(name: str, teacher: Teacher, labels: Sequence[str], window_s: float) -> None:
    if set(teacher.labels) != set(labels):
        differing = sorted(set(teacher.labels) ^ set(labels))
        raise ConfigError(
            f"The teacher {name} knows other labels than the data ({', '.join(differing)} on one side "
            "alone): take a teacher of these labels."
        )
    if teacher.window_s not in (None, window_s):
        raise ConfigError(
            f"The teacher {name} hears {teacher.window_s} s at a time and the student {window_s} s: let it "
            "answer at rest with `python -m train teach`, and train from that store."
        )
