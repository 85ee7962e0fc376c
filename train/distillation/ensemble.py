"""The teachers of one training: opened, checked against the data, and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from runtime.errors import ConfigError, DataError
from runtime.spec import FrontEndSpec, Task
from train.augmentation.views import View
from train.data import Batch, ClipWindows
from train.distillation.config import Distillation
from train.distillation.logit_store import UNAUGMENTED, Ints, Store
from train.distillation.losses import similarity_matching
from train.distillation.teachers import Teacher, check_labels, find_teacher, teacher_input


class Expected(NamedTuple):
    """What the teachers expect of one view of a batch.

    Attributes:
        probabilities: [batch, classes], softened, and mixed as the view is.
        features: [batch, ...] of each teacher; empty where no loss compares them.
    """

    probabilities: Tensor
    features: tuple[Tensor, ...] = ()


class TeacherEnsemble:
    """The weighted average of a distillation's stores or teachers.

    Args:
        distillation: the config.
        labels: of the student.
        task: of the student.
        spec: the student's front end.
        train: the training split; None where the ensemble only evaluates.
        view_key: what the student's views depend on, as JSON values (`train.augmentation.view_key`).
        window: samples of the student's window.
        device: where teachers run that are not stores.

    Attributes:
        distillation: as given.
        views: number of distinct views in the stores; None where any view can be computed.
        mixed: whether MixUp was applied to the teachers' input; otherwise it is applied to their output.

    Raises:
        TinysceneError: where a teacher or store does not fit the training; the message names it.
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
        view_key: dict[str, Any],
        device: torch.device,
    ) -> None:
        self.distillation, self.task, self._spec, self._train = distillation, task, spec, train
        self._covered: dict[ClipWindows, bool] = {}
        self._stores = [Store(path) for path in distillation.stores]
        self._teachers = [find_teacher(name, device=device) for name in distillation.teachers]
        for store in self._stores:
            store.check(labels, spec.sample_rate, view_key if train is not None else store.header.view)
        for name, teacher in zip(distillation.teachers, self._teachers, strict=True):
            _check_teacher(name, teacher, labels, window / spec.sample_rate)
        self.mixed, self.views = self._check_agreement(task)
        self._columns = [store.order_of(labels) for store in self._stores]
        self._columns += [[teacher.labels.index(label) for label in labels] for teacher in self._teachers]
        weights = torch.tensor(distillation.weights or [1.0] * len(self._columns))
        self._weights: list[float] = (weights / weights.sum()).tolist()
        self._places = [] if train is None else [_find(store, train) for store in self._stores]

    def _check_agreement(self, task: Task) -> tuple[bool, int | None]:
        """Refuse sources that cannot be averaged; returns ``mixed`` and ``views``."""
        headers = [store.header for store in self._stores]
        tasks = {header.task for header in headers} | {teacher.task for teacher in self._teachers}
        mixed = {header.mixed for header in headers} | {teacher.sees_mixing for teacher in self._teachers}
        views = {header.views for header in headers}
        if len(mixed) > 1 or len(views) > 1:
            raise ConfigError(
                "The teachers scored different inputs (some augmented views, some plain windows or "
                "waveforms): make a store of each with the same --views, or use teachers of one kind."
            )
        if tasks != {task}:
            raise ConfigError(
                f"The data is {task} and a teacher is {', '.join(sorted(tasks - {task}))}: take a "
                "teacher of the same task."
            )
        if self.distillation.loss == "kl" and task == "multi_label":
            raise ConfigError("With several labels a clip, set model.distillation.loss=bce.")
        return mixed.pop(), (views.pop() if views else 0) or None

    def expected(self, batch: Batch, view: View) -> Expected:
        """What the student's answers to one view of a training batch are compared with."""
        softened = self.distillation.soften(self.logits(batch, view), self.task)
        exposed: tuple[Tensor, ...] = ()
        if self.distillation.similarity_weight:
            each = (teacher.features for teacher in self._teachers)
            exposed = tuple(features for features in each if features is not None)
        return Expected(self.mixed_like(view, softened), exposed)

    def logits(self, batch: Batch, view: View) -> Tensor:
        """The average logits for one view of a training batch: [batch, classes]."""
        assert self._train is not None, "opened for evaluation only"
        number = UNAUGMENTED if self.views is None else batch.epoch
        starts = batch.start.cpu().numpy()
        logits = []
        for store, places in zip(self._stores, self._places, strict=True):
            clips = places[batch.clip.cpu().numpy()]
            logits.append(store.lookup(clips, starts, number, self._train.length, batch.number))
        shown = teacher_input(view, self._spec, self.distillation.teacher_input)
        logits += [teacher.logits(shown) for teacher in self._teachers]
        return self._average(logits).to(view.log_mel.device)

    def mixed_like(self, view: View, probabilities: Tensor) -> Tensor:
        """Probabilities [batch, classes] for the mixture that the student is shown.

        Logits for single examples are mixed as the labels are; a mixture of waveforms that a teacher received
        needs no mixing, MixUp that it could not receive does.
        """
        if self.mixed:
            return probabilities
        mixing = view.mixing if self._stores else view.mixup
        return probabilities if mixing is None else mixing(probabilities)

    def similarity(self, features: Tensor, expected: Expected) -> Tensor:
        """`similarity_matching` between the student's and the teachers' features of a batch: a scalar.

        Args:
            features: the student's, [batch, ...].
            expected: of the same batch.
        """
        costs = [similarity_matching(features, each) for each in expected.features]
        return torch.stack([w * cost for w, cost in zip(self._weights, costs, strict=True)]).sum()

    def evaluation_logits(self, batch: Batch, dataset: ClipWindows, log_mel: Tensor) -> Tensor | None:
        """The average logits for windows of an evaluation split; None where a store lacks a clip of it."""
        if not self.covers(dataset):
            return None
        logits = []
        for store in self._stores:
            clips = store.find([dataset.clips[clip].id for clip in batch.clip.tolist()])
            logits.append(store.lookup(clips, batch.start.cpu().numpy(), UNAUGMENTED, dataset.length))
        shown = teacher_input(View(batch.waveform, log_mel), self._spec)
        logits += [teacher.logits(shown) for teacher in self._teachers]
        return self._average(logits).to(log_mel.device)

    def covers(self, dataset: ClipWindows) -> bool:
        """Whether there are logits for every clip of an evaluation split."""
        if dataset not in self._covered:
            ids = [clip.id for clip in dataset.clips]
            stored = all(store.has_unaugmented(store.find(ids)) for store in self._stores)
            self._covered[dataset] = bool(ids) and stored
        return self._covered[dataset]

    def _average(self, logits: Sequence[Tensor]) -> Tensor:
        parts = zip(self._weights, logits, self._columns, strict=True)
        return torch.stack([weight * each[:, columns] for weight, each, columns in parts]).sum(dim=0)

    def describe(self) -> list[dict[str, Any]]:
        """The teachers as JSON values, for the provenance of the student."""
        stored = [teacher for store in self._stores for teacher in store.header.provenance]
        return stored + [teacher.describe() for teacher in self._teachers]


def _find(store: Store, dataset: ClipWindows) -> Ints:
    """Positions of the split's clips in a store."""
    places = store.find([clip.id for clip in dataset.clips])
    if (places < 0).any():
        missing = [clip.id for clip, place in zip(dataset.clips, places, strict=True) if place < 0]
        raise DataError(
            f"{store.path} has no logits for {len(missing)} of {len(places)} training clips, for example "
            f"{missing[0]}: make it again with this recipe's corpus and split."
        )
    return np.asarray(places)


def _check_teacher(name: str, teacher: Teacher, labels: Sequence[str], window_s: float) -> None:
    check_labels(f"The teacher {name}", teacher.labels, labels)
    if teacher.window_s not in (None, window_s):
        raise ConfigError(
            f"The teacher {name} takes windows of {teacher.window_s} s and the student of {window_s} s: "
            "score the windows without augmentation with `python -m train teach`, and train from that store."
        )
