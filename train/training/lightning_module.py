"""The lightning module: a student behind its front end, and the steps of training and evaluation."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec, Task
from train import networks
from train.augmentation.config import Augmentation
from train.augmentation.random_draws import generator_for
from train.augmentation.view_key import view_key
from train.augmentation.views import View
from train.checkpoints import model_pt
from train.data import Batch, ClipWindows
from train.distillation.config import Distillation
from train.distillation.ensemble import TeacherEnsemble
from train.distillation.features import FeatureHook
from train.distillation.losses import agreement, cross_entropy, soften
from train.distillation.objective import objective
from train.log_mel import LogMel
from train.suggestions import nearest
from train.training.evaluation import MAIN_METRIC, Array, Integers, evaluate
from train.training.layer_decay import parameter_groups
from train.training.preparation import Preparation, PreparedBatch, Views, threads_beside
from train.training.report import Evaluation
from train.training.schedule import Schedule

_NETWORK_STREAM = 6_000_000  # keeps the random numbers of the network apart from those of the views


class Classifier(lightning.LightningModule):
    """Trains a student on windows of waveform with cross-entropy and, optionally, distillation.

    Args:
        student: a name in `train.networks.NETWORKS`.
        arguments: keyword arguments of the student except ``n_classes``, the number of labels.
        frontend: a preset of `runtime.spec.PRESETS`.
        clip_s: window length in seconds.
        lr: peak learning rate of AdamW.
        weight_decay: of AdamW.
        warmup: share of all steps in which the learning rate rises exponentially to its peak.
        schedule: how the learning rate falls after the warm-up; null is a cosine to zero.
        augmentation: null trains on the windows as they are.
        distillation: teachers; null trains on the labels alone.
        seed: of the weights, the augmentation and what the network draws, as dropout does.
        labels: class names; set from the data.
        task: ``single_label`` or ``multi_label``; set from the data.
        frozen: parts of the student, such as ``features``, whose weights and batch-norm statistics stay as
            `--init` gave them.
        layer_decay: learning rate of a layer over that of the next one, for fine-tuning a teacher; 1 gives
            all layers the same, and 0.75 is usual for transformers.

    Raises:
        ConfigError: where a value makes no sense.
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
        frozen: tuple[str, ...] = (),
        layer_decay: float = 1.0,
    ) -> None:
        super().__init__()
        _check_numbers(lr, weight_decay, clip_s)
        self.task: Task = task
        self.student_name, self.labels, self.clip_s = student, tuple(labels), clip_s
        self.arguments = {**(arguments or {}), "n_classes": len(self.labels)}
        self.spec = FrontEndSpec.preset(frontend)
        self.lr, self.weight_decay, self.warmup = lr, weight_decay, warmup
        self.schedule = schedule or Schedule()
        self.augmentation, self.distillation, self.seed = augmentation, distillation, seed
        # opened when a training begins
        self.teachers: TeacherEnsemble | None = None  # of the distillation
        self._prepare: Preparation | None = None
        self._threads: int | None = None  # before workers took their cores
        torch.manual_seed(seed)
        # channels last: a quarter faster on CPUs, where depthwise convolutions decide
        self.student = networks.build(student, self.arguments)
        self.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.frozen, self.layer_decay = self._freeze(frozen), layer_decay
        self._features = FeatureHook(self.student)
        self.log_mel = LogMel(self.spec)
        self.evaluation: Evaluation | None = None
        # probabilities and targets [windows, classes] of the labelled windows of the last evaluation
        self.evaluated: tuple[Array, Array] | None = None
        self.temperature = 1.0  # what probabilities are reported at
        self.thresholds: dict[str, float] = {}  # of a multi-label model, label to probability
        self._outputs: list[tuple[Tensor, Tensor]] = []

    def _freeze(self, names: Sequence[str]) -> list[nn.Module]:
        parts = dict(self.student.named_modules())
        for name in names:
            if name not in parts or not name:
                known = [part for part, _ in self.student.named_children()]
                raise ConfigError(f"model.frozen: the student has no part '{name}': {nearest(name, known)}")
            parts[name].requires_grad_(False)
        return [parts[name] for name in names]

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
        logits: Tensor = self.student(log_mel.contiguous(memory_format=torch.channels_last))
        return logits

    def training_step(self, batch: Batch | PreparedBatch, batch_idx: int) -> Tensor:
        """One step on a batch, which the loader's workers may have prepared."""
        for part in self.frozen:
            part.eval()
        self._seed_network(batch_idx)
        if isinstance(batch, Batch):
            assert self._prepare is not None, "a fit has begun"
            batch = self._prepare(batch)
        logits = self._network(batch.log_mel)
        loss = self.loss(batch, logits)
        self._log_step(len(logits), loss=loss)
        return loss

    def _seed_network(self, batch_idx: int) -> None:
        """Make dropout and patchout depend on seed, epoch and batch alone, also in a run that is resumed."""
        step = batch_idx * self.trainer.world_size + self.global_rank
        generator = generator_for(self.seed, _NETWORK_STREAM, self.current_epoch, step)
        torch.manual_seed(generator.initial_seed())

    def loss(self, batch: PreparedBatch, logits: Tensor) -> Tensor:
        """The loss of logits [batch, classes]: a scalar."""
        loss = cross_entropy(logits, batch.target, batch.labelled, self.task)
        if self.teachers is None or batch.expected is None:
            return loss
        combined = objective(
            self.teachers, batch.expected, logits, loss, self._features.last,
            batch.clip_target, batch.clip_labelled,
        )  # fmt: skip
        self._log_step(len(logits), **combined.logged)
        if combined.teacher_accuracy is not None:
            self._log_step(combined.labelled, teacher_accuracy=combined.teacher_accuracy)
        return combined.loss

    def on_fit_start(self) -> None:
        """Open the teachers and check them against the data, before the first epoch.

        On a CPU the loader's workers prepare the batches; a GPU does it itself, in far less time.
        """
        train, data = self._train_split, self.trainer.datamodule  # type: ignore[attr-defined]
        opening = None if self.distillation is None else self._opening(self.distillation, train)
        self._prepare = Preparation(self._views(train), opening)
        self.teachers = self._prepare.teachers
        if self.teachers is not None:
            data.views = self.teachers.views
        if data.num_workers and self.device.type == "cpu":
            data.preparation = self._prepare
            self._threads = torch.get_num_threads()
            torch.set_num_threads(threads_beside(data.num_workers))

    def on_fit_end(self) -> None:
        """Take back the cores that workers had."""
        if self._threads is not None:
            torch.set_num_threads(self._threads)

    def _opening(
        self, distillation: Distillation, train: ClipWindows | None
    ) -> Callable[[], TeacherEnsemble]:
        """What opens the teachers, in this process or in another."""
        key: dict[str, Any] = {}
        if train is not None:
            batch_size = self.trainer.datamodule.batch_size  # type: ignore[attr-defined]
            key = self.view_key(train, batch_size)
        return functools.partial(
            TeacherEnsemble,
            distillation,
            labels=self.labels,
            task=self.task,
            spec=self.spec,
            train=train,
            window=round(self.clip_s * self.spec.sample_rate),
            view_key=key,
            device=self.device,
        )

    def teachers_cover(self, dataset: ClipWindows) -> bool:
        """Whether the distillation has logits for every clip of a split."""
        if self.distillation is None:
            return False
        return self._opening(self.distillation, None)().covers(dataset)

    def _open_for_evaluation(self) -> None:
        """For `validate` and `test` alone, where the teachers' files exist."""
        if self.distillation is not None and self.teachers is None and self.distillation.files_exist:
            self.teachers = self._opening(self.distillation, None)()

    on_validation_start = on_test_start = _open_for_evaluation

    def view(self, batch: Batch, dataset: ClipWindows) -> View:
        """The view of a batch of the training split; random numbers depend on seed and batch alone."""
        return self._views(dataset)(batch)

    def _views(self, dataset: ClipWindows) -> Views:
        return Views(self.log_mel, self.augmentation, self.seed, dataset)

    def view_key(self, dataset: ClipWindows, batch_size: int) -> dict[str, Any]:
        """What the views of a training depend on besides epoch and batch number, as JSON values."""
        return view_key(dataset, batch_size, seed=self.seed, spec=self.spec, augmentation=self.augmentation)

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
        """AdamW with a learning rate that changes at every step."""
        groups = parameter_groups(self.student, self.lr, self.layer_decay)
        optimizer = torch.optim.AdamW(groups, self.lr, weight_decay=self.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.schedule.factor(step, steps, self.warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint_values: dict[str, Any]) -> None:
        """Add the student, as model.pt holds it, to a Lightning checkpoint."""
        checkpoint_values["tinyscene"] = model_pt.to_values(self.to_checkpoint())

    def on_load_checkpoint(self, checkpoint_values: dict[str, Any]) -> None:
        """Refuse the checkpoint of another recipe: its weights would stand beside this recipe's front end.

        Raises:
            ConfigError: naming what differs.
        """
        name = "The checkpoint of --ckpt_path"
        start = model_pt.from_values(checkpoint_values.get("tinyscene"), name)
        model_pt.refuse_other_settings(start, Classifier.to_checkpoint(self), name)
        if differing := self.state_dict().keys() ^ checkpoint_values["state_dict"].keys():
            raise ConfigError(
                f"{name} is of another kind of training (one has '{min(differing)}'): `fit` and `qat` resume "
                "their own."
            )

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Evaluate the student on a batch of windows."""
        self.evaluation_step(batch, self.log_mel(batch.waveform))

    def evaluation_step(self, batch: Batch, log_mel: Tensor) -> Tensor:
        """Retain the probabilities until the epoch's end, when clips are put together; log the agreement.

        Returns:
            logits [batch, classes].
        """
        logits = self._network(log_mel).float()
        self._outputs.append(self._output(logits, batch))
        if self.teachers is not None:
            split = "test" if self.trainer.testing else "val"
            dataset = self.trainer.datamodule.datasets[split]  # type: ignore[attr-defined]
            expected = self.teachers.evaluation_logits(batch, dataset, log_mel)
            if expected is not None:
                value = agreement(logits, expected)
                self.log(f"{split}/agreement", value, batch_size=len(logits), sync_dist=True)
        return logits

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Probabilities [batch, classes], and the position of each window's clip in the split [batch]."""
        return self._output(self(batch.waveform).float(), batch)

    def _output(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        return soften(logits, self.temperature, self.task).cpu(), batch.clip.cpu()

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the whole split and of its parts."""
        if evaluation := self._evaluate("val"):
            for kind, table in evaluation.tables.items():
                self.log_dict({f"val/{kind}/{name}": value for name, value in table.items()}, sync_dist=True)

    test_step = validation_step

    def on_test_epoch_end(self) -> None:
        """Evaluate the whole split, for the report."""
        self._evaluate("test")

    def gather(self, outputs: list[tuple[Tensor, Tensor]]) -> tuple[Array, Integers]:
        """Concatenate the outputs of `predict_step` for all batches, from all processes.

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
        """Score the retained outputs, and log the scores; None where the split has no label."""
        probabilities, clips = self.gather(self._outputs)
        self._outputs.clear()
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        dataset = data.datasets[split]
        labelled = dataset.labelled[clips] > 0
        if not labelled.any():
            return None
        self.evaluated = probabilities[labelled], dataset.targets[clips[labelled]]
        self.evaluation = evaluate(
            probabilities, clips, dataset.clips, self.labels, data.corpus.device_groups, self.task
        )
        for name, value in self.evaluation.logged.items():
            self.log(f"{split}/{name}", value, prog_bar=name == MAIN_METRIC[self.task], sync_dist=True)
        return self.evaluation


def _check_numbers(lr: float, weight_decay: float, clip_s: float) -> None:
    if not (0 <= lr < math.inf and 0 <= weight_decay < math.inf):
        raise ConfigError(
            f"model.lr and model.weight_decay are numbers of 0 or more, not {lr} and {weight_decay}."
        )
    model_pt.check_clip_s("model.clip_s", clip_s)
