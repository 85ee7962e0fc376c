"""``python -m train qat``: the command line of quantization-aware training."""

from __future__ import annotations

from lightning.pytorch.cli import LightningArgumentParser

from train.cli.lightning_cli import TrainCLI
from train.quantization.qat import QuantizedClassifier


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
