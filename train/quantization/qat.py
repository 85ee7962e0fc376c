"""Quantization-aware training: ``python -m train qat --config RECIPE --checkpoint model.pt``."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from runtime.errors import ConfigError
from train.checkpoints.model_pt import Checkpoint, load
from train.data import Batch, ClipWindows
from train.distillation.losses import agreement, binary_distillation, soft_cross_entropy, soften
from train.quantization.fake_quantize import FakeQuantized
from train.quantization.ptq import calibrate
from train.quantization.quantizer import WEIGHT_RANGES, Scheme
from train.training.calibration import calibration_windows
from train.training.lightning_module import Classifier
from train.training.views import View


class QuantizedClassifier(Classifier):
    """Goes on training the student of a model.pt with INT8's rounding in its way (Jacob et al., CVPR 2018).

    The float network that it starts from teaches it (Mishra & Marr, "Apprentice", ICLR 2018, scheme C). Once
    ranges, batch norm and grids stand still, from the start by default, it begins with the integers that
    post-training quantization would give.

    Args:
        checkpoint: the model.pt to start from, of the same student and labels.
        float_weight: share of the loss that asks for the answers of that float network to the same view; the
            rest is the recipe's own loss, on labels and teachers. Null is 1, or half where the recipe has
            teachers: they go on teaching.
        frozen_share: last part of the training, above 0, in which batch norm, ranges and grids stand still.
            It begins with the ranges and the rounding of post-training quantization.
        weight_range: a key of `train.quantization.quantizer.WEIGHT_RANGES`.
        lr_scale: of the recipe's learning rate, which was for weights that begin at random.
        training: arguments of `Classifier`.
    """

    def __init__(
        self,
        checkpoint: str,
        float_weight: float | None = None,
        frozen_share: float = 1.0,
        weight_range: str = "portable",
        lr_scale: float = 0.05,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.lr *= lr_scale
        if weight_range not in WEIGHT_RANGES:
            raise ConfigError(f"weight_range is one of {', '.join(WEIGHT_RANGES)}, not '{weight_range}'.")
        if float_weight is None:
            float_weight = 0.5 if self.distillation else 1.0
        if not (0 < frozen_share <= 1 and 0 <= float_weight <= 1):
            raise ConfigError(
                f"frozen_share lies in (0, 1] and float_weight in [0, 1], not {frozen_share} and "
                f"{float_weight}."
            )
        start = load(checkpoint)
        if (start.student, start.labels) != (self.student_name, self.labels):
            raise ConfigError(
                f"{checkpoint} is a {start.student} for {', '.join(start.labels)}, which does not fit the "
                f"recipe's {self.student_name} for {', '.join(self.labels)}: give the recipe that trained "
                "it, or train its head on these labels first (`python -m train fit --init`)."
            )
        self.float_student = start.build().requires_grad_(False)
        self.student.load_state_dict(self.float_student.state_dict())
        self.float_weight, self.frozen_share = float_weight, frozen_share
        self.fake = FakeQuantized(self.student, start.input_shape, Scheme(WEIGHT_RANGES[weight_range]))
        self._calibration = start.calibration
        if len(self._calibration):  # an imported model.pt has none
            self.fake.begin_with(self._calibration)
        self._beside_float: list[Tensor] = []

    def calibrate_on(self, dataset: ClipWindows) -> None:
        """Choose ranges on windows of the training split, where the model.pt carries no windows."""
        if not len(self._calibration):
            self._calibration = calibration_windows(dataset, self.log_mel)["calibration"]
            self.fake.begin_with(self._calibration)

    def _network(self, log_mel: Tensor) -> Tensor:
        return self.fake(log_mel)

    def on_train_epoch_start(self) -> None:
        """Freeze batch norm, ranges and grids for the last part."""
        self.float_student.eval()
        epochs = self.trainer.max_epochs or 1
        first = min(round(epochs * (1 - self.frozen_share)), epochs - 1)  # at least the last one
        if self.current_epoch >= first and not self.fake.frozen:
            network = self.to_checkpoint().build()  # on the CPU, wherever the training runs
            self.fake.freeze(calibrate(network, self._calibration))
        self.fake.train()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step, but keep still what is frozen."""
        super().optimizer_step(*args, **kwargs)
        self.fake.after_step()

    def loss(self, batch: Batch, view: View, logits: Tensor) -> Tensor:
        """How far the answers are from the float network's, and what the recipe asks for."""
        wanted = soften(self.float_student(view.log_mel), 1.0, self.task)
        distance = soft_cross_entropy if self.task == "single_label" else binary_distillation
        on_float = distance(logits, wanted)
        self._log_step(len(logits), loss_float=on_float, float_agreement=agreement(logits, wanted))
        if self.float_weight == 1:
            return on_float
        return self.float_weight * on_float + (1 - self.float_weight) * super().loss(batch, view, logits)

    def evaluation_step(self, batch: Batch, log_mel: Tensor) -> Tensor:
        """As in `Classifier`, and the same windows through the float network that it started from."""
        logits = super().evaluation_step(batch, log_mel)
        answers = self.float_student(log_mel).argmax(dim=1)
        right, agrees = answers == batch.target.argmax(dim=1), answers == logits.argmax(dim=1)
        self._beside_float.append(torch.stack([right, agrees])[:, batch.labelled > 0])
        return logits

    def on_validation_epoch_end(self) -> None:
        """Log FP32 beside INT8."""
        super().on_validation_epoch_end()
        self._log_float("val")

    def on_test_epoch_end(self) -> None:
        """Log FP32 beside INT8."""
        super().on_test_epoch_end()
        self._log_float("test")

    def _log_float(self, split: str) -> None:
        right, agrees = torch.cat(self._beside_float, dim=1).float()
        self._beside_float.clear()
        if len(right) and self.task == "single_label":
            self.log(f"{split}/float_window_accuracy", right.mean(), prog_bar=True)
            self.log(f"{split}/float_agreement", agrees.mean())

    def to_checkpoint(self, **fields: Any) -> Checkpoint:
        """The student with the weights that INT8 computes with, and what else INT8 learned."""
        self.fake.copy_statistics_to(self.student)
        made = super().to_checkpoint(quantization=self.fake.learned(), **fields)
        return dataclasses.replace(made, state_dict={**made.state_dict, **self.fake.rounded_weights()})
