"""``python -m train qat``: the command line of quantization-aware training."""

from __future__ import annotations

import sys
from typing import Any

import torch
from jsonargparse.typing import PositiveInt
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_only

from runtime.errors import ConfigError
from train import networks
from train.checkpoints import model_pt
from train.cli.lightning_cli import TrainCLI
from train.cli.recipe import is_typed
from train.quantization.qat.classifier import QuantizedClassifier

_EPOCHS = 8  # the float network is a good start: later epochs change little


class QatCLI(TrainCLI):
    """``fit`` of a `QuantizedClassifier` by the student's recipe, into the recipe's folder + ``_qat``."""

    def __init__(self, arguments: list[str]) -> None:
        self._arguments = arguments
        super().__init__(QuantizedClassifier, arguments)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """As for training, and where to start."""
        super().add_arguments_to_parser(parser)
        parser.add_argument("--checkpoint", required=True, help="the model.pt to start from")
        parser.add_argument(
            "--epochs",
            type=PositiveInt | None,
            help=f"epochs of QAT, as is --trainer.max_epochs on the command line; {_EPOCHS} by default, "
            "whatever the recipe's trainer.max_epochs is",
        )
        parser.link_arguments("checkpoint", "model.checkpoint")

    def before_instantiate_classes(self) -> None:
        """Train shorter than the recipe does, and leave the run alone that made the checkpoint."""
        config = self.config[self.subcommand]
        config.trainer.max_epochs = self._epochs(config)
        config.trainer.default_root_dir += "_qat"
        _check_start(config.checkpoint)
        rank_zero_only(print)(
            f"QAT for {config.trainer.max_epochs} epochs, into {config.trainer.default_root_dir}",
            file=sys.stderr,
        )

    def before_fit(self) -> None:
        """Take calibration windows from the corpus, where the model.pt carries none."""
        self.datamodule.setup("fit")
        self.model.calibrate_on(self.datamodule.datasets["train"])
        super().before_fit()

    def _epochs(self, config: Any) -> int:
        """What was typed, before what the recipe says."""
        of_trainer: int = config.trainer.max_epochs
        if not is_typed("trainer.max_epochs", self._arguments):
            return int(config.epochs or _EPOCHS)  # a PositiveInt is not for the trainer's configuration
        if is_typed("epochs", self._arguments) and config.epochs != of_trainer:
            raise ConfigError(
                f"--epochs {config.epochs} and --trainer.max_epochs {of_trainer} contradict each "
                "other: give one."
            )
        return of_trainer


def _check_start(checkpoint: str) -> None:
    """The network can be quantized; and ranges from NaN are NaN, and so is all that is computed with them."""
    model = model_pt.load(checkpoint)
    networks.refuse_int8(model.student)
    if not torch.isfinite(model.calibration).all():
        raise ConfigError(
            f"The calibration windows of {checkpoint} hold NaN or infinity: train it again, with data that "
            "`python -m train check-data` finds sound."
        )
