"""Quantization-aware training: ``python -m train qat --config RECIPE --checkpoint model.pt``."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.cli import LightningArgumentParser
from torch import Tensor

from runtime.errors import ConfigError
from train.checkpoint import Checkpoint, load
from train.classifier import Classifier
from train.cli import TrainCLI
from train.data import Batch
from train.fake_quantize import FakeQuantized
from train.quantize import WEIGHT_RANGES, Scheme


class QuantizedClassifier(Classifier):
    """Goes on training the student of a model.pt with INT8's rounding in its way (Jacob et al., CVPR 2018).

    Args:
        checkpoint: the model.pt to start from, of the same student and labels.
        frozen_share: last part of the training in which batch norm and ranges stand still.
        weight_range: a key of `train.quantize.WEIGHT_RANGES`.
        lr_scale: of the recipe's learning rate, which was for weights that begin at random.
        training: arguments of `Classifier`.
    """

    def __init__(
        self,
        checkpoint: str,
        frozen_share: float = 0.25,
        weight_range: str = "portable",
        lr_scale: float = 0.05,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.lr *= lr_scale
        if weight_range not in WEIGHT_RANGES:
            raise ConfigError(f"weight_range is one of {', '.join(WEIGHT_RANGES)}, not '{weight_range}'.")
        start = load(checkpoint)
        if (start.student, start.labels) != (self.student_name, self.labels) or not len(start.calibration):
            raise ConfigError(
                f"{checkpoint} is a {start.student} for {', '.join(start.labels)} with "
                f"{len(start.calibration)} calibration windows, which does not fit the recipe's "
                f"{self.student_name} for {', '.join(self.labels)}: give the recipe that trained it."
            )
        self.student.load_state_dict(start.build().state_dict())
        self.frozen_share = frozen_share
        self.fake = FakeQuantized(self.student, start.input_shape, Scheme(WEIGHT_RANGES[weight_range]))
        self.fake.begin_with(start.calibration)
        self._float_right: list[Tensor] = []

    def _network(self, log_mel: Tensor) -> Tensor:
        return self.fake(log_mel)

    def on_train_epoch_start(self) -> None:
        """Freeze batch norm and ranges for the last part."""
        epochs = self.trainer.max_epochs or 1
        self.fake.frozen = self.current_epoch >= epochs * (1 - self.frozen_share)
        self.fake.train()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """As in `Classifier`, and the same windows through the float student."""
        super().validation_step(batch, batch_idx)
        self.fake.copy_statistics_to(self.student)
        answers = self.student(self.log_mel(batch.waveform)).argmax(dim=1)
        right = answers == batch.target.argmax(dim=1)
        self._float_right.append(right[batch.labelled > 0])

    def on_validation_epoch_end(self) -> None:
        """Log FP32 beside INT8."""
        super().on_validation_epoch_end()
        self._log_float("val")

    test_step = validation_step

    def on_test_epoch_end(self) -> None:
        """Log FP32 beside INT8."""
        super().on_test_epoch_end()
        self._log_float("test")

    def _log_float(self, split: str) -> None:
        right = torch.cat(self._float_right).float()
        self._float_right.clear()
        if len(right) and self.task == "single_label":
            self.log(f"{split}/float_window_accuracy", right.mean(), prog_bar=True)

    def to_checkpoint(self, **fields: Any) -> Checkpoint:
        """The student as it is now, and what INT8 learned with it."""
        self.fake.copy_statistics_to(self.student)
        return super().to_checkpoint(quantization=self.fake.learned(), **fields)


class QatCLI(TrainCLI):
    """``fit`` of a `QuantizedClassifier` by the student's recipe, into the recipe's folder + ``_qat``."""

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(QuantizedClassifier, arguments)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """As for training, and where to start."""
        super().add_arguments_to_parser(parser)
        parser.add_argument("--checkpoint", required=True, help="the model.pt to start from")
        parser.add_argument("--epochs", type=int, default=8, help="instead of the recipe's")
        parser.link_arguments("checkpoint", "model.checkpoint")

    def before_instantiate_classes(self) -> None:
        """Train shorter than the recipe does, and leave the run alone that made the checkpoint."""
        config = self.config[self.subcommand]
        config.trainer.max_epochs = config.epochs
        config.trainer.default_root_dir += "_qat"
