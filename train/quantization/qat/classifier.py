"""The training loop of quantization-aware training: ``python -m train qat``."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from runtime.errors import ConfigError
from train.checkpoints.model_pt import Checkpoint, load, refuse_other_settings
from train.data import Batch, ClipWindows
from train.distillation.losses import agreement, binary_distillation, soft_cross_entropy, soften
from train.quantization.calibration_windows import int8_windows
from train.quantization.ptq import calibrate
from train.quantization.qat.freeze import freeze
from train.quantization.qat.network import QatNetwork
from train.quantization.qat.phases import QatPhase, phase_of_epoch
from train.quantization.quantizer import WEIGHT_RANGES, Scheme
from train.training.lightning_module import Classifier
from train.training.preparation import PreparedBatch


class QuantizedClassifier(Classifier):
    """Continues the training of a model.pt's student with the rounding of INT8 (Jacob et al., CVPR 2018).

    The float network that it starts from is its teacher (Mishra & Marr, "Apprentice", ICLR 2018, scheme C).
    In the frozen phase, by default from the first epoch on, it starts from the ranges and the weights
    rounded by GPTQ of post-training quantization. It neither corrects biases, which are trained, nor
    equalizes channels: two narrow CP-Mobiles on FSDD (96 steps, one seed) went from 17.8 and 19.8 dB signal
    to quantization noise of the validation logits to 17.7 and 20.0, and equalized from 18.6 and 19.8 down to
    16.4 and 19.3.

    Args:
        checkpoint: the model.pt to start from, of the same student, arguments, front end, window and labels.
        float_weight: share of the loss that is the distance from the float network's logits for the same
            view; the rest is the recipe's own loss, on labels and teachers. Null is 1, or 0.5 where the
            recipe has teachers.
        frozen_share: last part of the training, above 0, that is trained frozen, see
            `train.quantization.qat.phases.QatPhase`.
        weight_range: a key of `train.quantization.quantizer.WEIGHT_RANGES`.
        lr_scale: factor of the recipe's learning rate, which was for weights that start at random.
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
        refuse_other_settings(start, super().to_checkpoint(), checkpoint)
        self.float_student = start.build().requires_grad_(False)
        self.student.load_state_dict(self.float_student.state_dict())
        self.float_weight, self.frozen_share = float_weight, frozen_share
        scheme = Scheme(WEIGHT_RANGES[weight_range])
        self.qat_network = QatNetwork(self.student, start.input_shape, scheme)
        self._calibration = start.calibration
        if len(self._calibration):  # an imported model.pt has none
            self.qat_network.observe(self._calibration)
        self._float_results: list[Tensor] = []  # of windows: whether float is correct, whether INT8 agrees

    def calibrate_on(self, dataset: ClipWindows) -> None:
        """Choose ranges on windows of the training split, where the model.pt carries no windows."""
        if not len(self._calibration):
            windows = int8_windows(dataset, None, self.log_mel, self.augmentation, self.task)
            self._calibration = windows["calibration"]
            self.qat_network.observe(self._calibration)

    def _network(self, log_mel: Tensor) -> Tensor:
        logits: Tensor = self.qat_network(log_mel)
        return logits

    def on_train_epoch_start(self) -> None:
        """Freeze ranges, batch norm and scales of weights where the last part of the training begins."""
        self.float_student.eval()
        phase = phase_of_epoch(self.current_epoch, self.trainer.max_epochs or 1, self.frozen_share)
        if phase is QatPhase.FROZEN and self.qat_network.phase is not QatPhase.FROZEN:
            network = self.to_checkpoint().build()  # on the CPU, wherever the training runs
            freeze(self.qat_network, calibrate(network, self._calibration))
        self.qat_network.train()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step that leaves unchanged what is frozen."""
        with self.qat_network.fixed_norm_scales():
            super().optimizer_step(*args, **kwargs)

    def loss(self, batch: PreparedBatch, logits: Tensor) -> Tensor:
        """The distance from the float network's logits, and the recipe's own loss."""
        expected = soften(self.float_student(batch.log_mel), 1.0, self.task)
        distance = soft_cross_entropy if self.task == "single_label" else binary_distillation
        on_float = distance(logits, expected)
        self._log_step(len(logits), loss_float=on_float, float_agreement=agreement(logits, expected))
        if self.float_weight == 1:
            return on_float
        return self.float_weight * on_float + (1 - self.float_weight) * super().loss(batch, logits)

    def evaluation_step(self, batch: Batch, log_mel: Tensor) -> Tensor:
        """As in `Classifier`, and the same windows through the float network that it started from."""
        logits = super().evaluation_step(batch, log_mel)
        labels = self.float_student(log_mel).argmax(dim=1)
        correct, same = labels == batch.target.argmax(dim=1), labels == logits.argmax(dim=1)
        self._float_results.append(torch.stack([correct, same])[:, batch.labelled > 0])
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
        correct, same = torch.cat(self._float_results, dim=1).float()
        self._float_results.clear()
        if len(correct) and self.task == "single_label":
            self.log(f"{split}/float_window_accuracy", correct.mean(), prog_bar=True)
            self.log(f"{split}/float_agreement", same.mean())

    def to_checkpoint(self, **fields: Any) -> Checkpoint:
        """The student with the weights that INT8 computes with, and the ranges and scales of INT8."""
        self.qat_network.copy_statistics_to(self.student)
        checkpoint = super().to_checkpoint(quantization=self.qat_network.learned(), **fields)
        weights = {**checkpoint.state_dict, **self.qat_network.rounded_weights()}
        return dataclasses.replace(checkpoint, state_dict=weights)
