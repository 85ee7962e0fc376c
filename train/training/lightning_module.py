"""The training loop: a student behind its front end, as a LightningModule."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec, Task
from train import networks
from train.checkpoints import model_pt
from train.data import Batch, ClipWindows
from train.distillation.config import Distillation, Lessons
from train.distillation.losses import agreement, label_loss, soften
from train.log_mel import LogMel
from train.training.augmentation import Augmentation, View, generator_for
from train.training.evaluation import CHOSEN_BY, evaluate
from train.training.report import Evaluation
from train.training.schedule import Schedule


class Classifier(lightning.LightningModule):
    """Trains a student on windows of waveform with cross-entropy.

    Args:
        student: a name in `train.networks.NETWORKS`.
        arguments: keyword arguments of the student but for ``n_classes``, which the labels give.
        frontend: a preset of `runtime.spec.PRESETS`.
        clip_s: window length in seconds.
        lr: peak learning rate of AdamW.
        weight_decay: of AdamW.
        warmup: share of all steps in which the learning rate rises exponentially to its peak.
        schedule: how the learning rate falls after the warm-up; null is a cosine to zero.
        augmentation: null trains on the windows as they are.
        distillation: who else teaches; null learns from labels alone.
        seed: of the weights and the augmentation.
        labels: class names; set from the data.
        task: ``single_label`` or ``multi_label``; set from the data.
    """

    def __init__(
        self,
        student: str = "cp_mobile",
        arguments: dict[str, Any] | None = None,
        frontend: str = "cp_mel",
        clip_s: float = 1.0,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        warmup: float = 0.1,
        augmentation: Augmentation | None = None,
        distillation: Distillation | None = None,
        seed: int = 0,
        labels: Sequence[str] = (),
        schedule: Schedule | None = None,
        task: Task = "single_label",
    ) -> None:
        super().__init__()
        self.task: Task = task
        self.student_name, self.labels, self.clip_s = student, tuple(labels), clip_s
        self.arguments = {**(arguments or {}), "n_classes": len(self.labels)}
        self.spec = FrontEndSpec.preset(frontend)
        self.lr, self.weight_decay, self.warmup = lr, weight_decay, warmup
        self.schedule = schedule or Schedule()
        self.augmentation, self.distillation, self.seed = augmentation, distillation, seed
        self.lessons: Lessons | None = None  # the distillation's teachers, once a training begins
        torch.manual_seed(seed)
        # channels last: a quarter faster on CPUs, where depthwise convolutions decide
        self.student = networks.build(student, self.arguments).to(memory_format=torch.channels_last)
        self._features = networks.Features(self.student)
        self.log_mel = LogMel(self.spec)
        self.evaluation: Evaluation | None = None
        self.judged: tuple[np.ndarray, np.ndarray] | None = None  # probabilities and targets of its windows
        self.temperature = 1.0  # what probabilities are reported at
        self.thresholds: dict[str, float] = {}  # from which probability a label is given, of several
        self._outputs: list[tuple[Tensor, Tensor]] = []

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of the student's input at batch 1: [1, 1, n_mels, frames]."""
        return self.to_checkpoint().input_shape

    def to_checkpoint(self, **fields: Any) -> model_pt.Checkpoint:
        """The student as it is now; ``fields`` are the rest of `train.checkpoints.model_pt.Checkpoint`."""
        return model_pt.Checkpoint(
            student=self.student_name,
            arguments=self.arguments,
            frontend=self.spec,
            labels=self.labels,
            task=self.task,
            clip_s=self.clip_s,
            state_dict={name: tensor.clone() for name, tensor in self.student.state_dict().items()},
            **fields,
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """[batch, samples] -> logits [batch, classes]."""
        return self._network(self.log_mel(waveform))

    def _network(self, log_mel: Tensor) -> Tensor:
        return self.student(log_mel.contiguous(memory_format=torch.channels_last))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step on one view of a batch."""
        number = batch_idx * self.trainer.world_size + self.trainer.global_rank
        view = self.view(batch, self._train_split, number)
        logits = self._network(view.log_mel)
        loss = self.loss(batch, view, logits)
        self._log_step(len(logits), loss=loss)
        return loss

    def loss(self, batch: Batch, view: View, logits: Tensor) -> Tensor:
        """What is asked of the answers [batch, classes] to a view of a batch: a scalar."""
        loss = label_loss(logits, view.mixed(batch.target), view.mixed(batch.labelled), self.task)
        if self.lessons is not None:
            loss = self._listen(self.lessons, batch, view, logits, loss)
        return loss

    def _listen(
        self, lessons: Lessons, batch: Batch, view: View, logits: Tensor, on_labels: Tensor
    ) -> Tensor:
        """The loss on labels and teachers together, each of them logged."""
        distillation = lessons.distillation
        taught = distillation.probabilities(lessons.logits(batch, view), self.task)
        if not lessons.mixed:
            taught = view.mixed(taught)
        on_teachers = distillation.teacher_loss(logits, taught)
        if distillation.similarity_weight:
            on_features = lessons.similarity(self._last_features())
            on_teachers = on_teachers + distillation.similarity_weight * on_features
            self._log_step(len(logits), loss_features=on_features)
        self._log_step(
            len(logits), loss_labels=on_labels, loss_teachers=on_teachers, agreement=agreement(logits, taught)
        )
        labelled = batch.labelled > 0
        if labelled.any():
            right = agreement(taught[labelled], batch.target[labelled])
            self._log_step(int(labelled.sum()), teacher_accuracy=right)
        share = distillation.label_weight
        return share * on_labels + (1 - share) * on_teachers

    def _last_features(self) -> Tensor:
        if self._features.last is None:
            raise ConfigError(
                "The student's features cannot be seen in this training (quantization-aware training runs a "
                "copy of it): set model.distillation.similarity_weight to 0."
            )
        return self._features.last

    def on_fit_start(self) -> None:
        """Open the teachers and hold them against the data, before the first epoch."""
        if self.distillation is not None:
            self.lessons = self._open(self.distillation, self._train_split)
            self._train_split.views = self.lessons.views

    def _open(self, distillation: Distillation, train: ClipWindows | None) -> Lessons:
        view: dict[str, Any] = {}
        if train is not None:
            batch_size = self.trainer.datamodule.batch_size  # type: ignore[attr-defined]
            view = self.view_key(train, batch_size)
        return Lessons(
            distillation,
            labels=self.labels,
            task=self.task,
            spec=self.spec,
            train=train,
            window=round(self.clip_s * self.spec.sample_rate),
            view=view,
            device=self.device,
        )

    def judges_by_agreement(self, dataset: ClipWindows) -> bool:
        """Whether teachers can be asked about every clip of a split."""
        if self.distillation is None:
            return False
        return self._open(self.distillation, None).know(dataset)

    def _open_to_judge(self) -> None:
        """For `validate` and `test` alone, where the teachers are at hand."""
        if self.distillation is not None and self.lessons is None and self.distillation.at_hand:
            self.lessons = self._open(self.distillation, None)

    on_validation_start = on_test_start = _open_to_judge

    def view(self, batch: Batch, dataset: ClipWindows, number: int) -> View:
        """What is shown of a training batch; every random number follows from (seed, epoch, number).

        Args:
            batch: cut by ``dataset`` as its epoch has it.
            dataset: the training split.
            number: of the batch within the epoch, over all processes.
        """
        if self.augmentation is None:
            return View(batch.waveform, self.log_mel(batch.waveform), None)
        devices = [dataset.clips[clip].device for clip in batch.clip.tolist()]
        generator = generator_for(self.seed, dataset.epoch, number)
        return self.augmentation.view(batch.waveform, self.log_mel, generator, devices)

    def view_key(self, dataset: ClipWindows, batch_size: int) -> dict[str, Any]:
        """What the views of a training follow from beside epoch and number, as JSON values."""
        clips = [(clip.id, length) for clip, length in zip(dataset.clips, dataset.lengths, strict=True)]
        augmentation = dataclasses.asdict(self.augmentation) if self.augmentation else None
        if augmentation and augmentation["impulse_dir"]:
            augmentation["impulse_dir"] = Path(augmentation["impulse_dir"]).name
        key = {
            "clips": hashlib.sha256(json.dumps(clips).encode()).hexdigest(),
            "window": dataset.length,
            "seed": self.seed,
            "batch_size": batch_size,
            "jitter": dataset.jitter,
            "frontend": self.spec.to_dict(),
            "augmentation": augmentation,
        }
        values: dict[str, Any] = json.loads(json.dumps(key))
        return values

    @property
    def _train_split(self) -> ClipWindows:
        return self.trainer.datamodule.datasets["train"]  # type: ignore[attr-defined,no-any-return]

    def _log_step(self, batch_size: int, **values: Tensor) -> None:
        """Log means over the epoch as ``train/NAME``."""
        for name, value in values.items():
            self.log(
                f"train/{name}", value, on_step=False, on_epoch=True,
                prog_bar=name == "loss", sync_dist=True, batch_size=batch_size,
            )  # fmt: skip

    def configure_optimizers(self) -> Any:
        """AdamW whose learning rate is set anew at every step."""
        optimizer = torch.optim.AdamW(self.student.parameters(), self.lr, weight_decay=self.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.schedule.factor(step, steps, self.warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint_values: dict[str, Any]) -> None:
        """Let a Lightning checkpoint also say what student is in it."""
        checkpoint_values["tinyscene"] = model_pt.to_values(self.to_checkpoint())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Judge the student on a batch of windows."""
        self.judge(batch, self.log_mel(batch.waveform))

    def judge(self, batch: Batch, log_mel: Tensor) -> Tensor:
        """Keep probabilities until the epoch's end, where clips are put together; log the agreement.

        Returns:
            logits [batch, classes].
        """
        logits = self._network(log_mel).float()
        self._outputs.append(self._answers(logits, batch))
        if self.lessons is not None:
            split = "test" if self.trainer.testing else "val"
            dataset = self.trainer.datamodule.datasets[split]  # type: ignore[attr-defined]
            taught = self.lessons.logits_at_rest(batch, dataset, log_mel)
            if taught is not None:
                value = agreement(logits, taught)
                self.log(f"{split}/agreement", value, batch_size=len(logits), sync_dist=True)
        return logits

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Probabilities [batch, classes], and which clip of the split each window is of."""
        return self._answers(self(batch.waveform).float(), batch)

    def _answers(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        return soften(logits, self.temperature, self.task).cpu(), batch.clip.cpu()

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the whole split and of its parts."""
        if evaluation := self._evaluate("val"):
            for kind, table in evaluation.tables.items():
                self.log_dict({f"val/{kind}/{name}": value for name, value in table.items()}, sync_dist=True)

    test_step = validation_step

    def on_test_epoch_end(self) -> None:
        """Keep the evaluation for the report."""
        self._evaluate("test")

    def gather(self, outputs: list[tuple[Tensor, Tensor]]) -> tuple[np.ndarray, np.ndarray]:
        """Put together what `predict_step` gave for all batches, in all processes.

        Returns:
            Probabilities [windows, classes] and clips [windows].
        """
        parts = [outputs]
        if self.trainer.world_size > 1:
            parts = [outputs] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, outputs)
        probabilities, clips = zip(*(output for part in parts for output in part), strict=True)
        return torch.cat(probabilities).numpy(), torch.cat(clips).numpy()

    def _evaluate(self, split: str) -> Evaluation | None:
        """Score what was kept, and log it; None where nobody labelled the split."""
        probabilities, clips = self.gather(self._outputs)
        self._outputs.clear()
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        dataset = data.datasets[split]
        told = dataset.labelled[clips] > 0
        if not told.any():
            return None
        self.judged = probabilities[told], dataset.targets[clips[told]]
        self.evaluation = evaluate(
            probabilities, clips, dataset.clips, self.labels, data.corpus.device_groups, self.task
        )
        for name, value in self.evaluation.logged.items():
            self.log(f"{split}/{name}", value, prog_bar=name == CHOSEN_BY[self.task], sync_dist=True)
        return self.evaluation
