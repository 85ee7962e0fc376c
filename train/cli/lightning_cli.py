"""LightningCLI with flat recipes, all results in one folder, and the budget checked first."""

from __future__ import annotations

import json
import logging
import platform
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.callbacks import (
    ModelCheckpoint,
    RichProgressBar,
    StochasticWeightAveraging,
    WeightAveraging,
)
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

import complexity
from runtime.errors import ConfigError, DataError
from runtime.files import make_folder, write_beside
from train.checkpoints import model_pt
from train.checkpoints.identity import describe_file
from train.checkpoints.resume import check_checkpoint, has_ended, keep_interrupted, last_checkpoint
from train.cli.argument_parser import Parser
from train.cli.lightning_errors import as_config_errors
from train.cli.recipe import check_recipe, link_recipe, portable_values
from train.data import ClipData
from train.quantization.calibration_windows import int8_windows
from train.training.challenge_output import FileNames, file_names, write_output
from train.training.confidence import fit_confidence
from train.training.data_wait import DataWait
from train.training.evaluation import MAIN_METRIC, clip_means
from train.training.initial_weights import load_initial_weights
from train.training.interruption import Interruption
from train.training.lightning_module import Classifier
from train.training.weight_averaging import estimate_batch_norm
from train.training.whole_checkpoints import WholeCheckpoints

_VERBS = ("fit", "validate", "test", "predict")


class SaveRecipe(SaveConfigCallback):
    """Writes the resolved recipe as config.yaml, and into every logger, where runs are compared by it."""

    def save_config(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """On the first process alone."""
        for logger in trainer.loggers:
            logger.log_hyperparams(
                portable_values(self.config, "seed_everything", "model", "data", "trainer")
            )


class TrainCLI(LightningCLI):
    """``fit``, ``validate``, ``test`` and ``predict`` of a `Classifier` on `ClipData`.

    All results of a run lie in ``trainer.default_root_dir``: model.pt, checkpoints, logs, reports.
    """

    def __init__(self, model: type[Classifier] = Classifier, arguments: list[str] | None = None) -> None:
        # Lightning's own messages at this level are advertisements and what the recipe says anyway
        logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
        for message in (
            ".*LeafSpec.*",  # its use of torch
            "Total length of .list. across ranks is zero",  # a corpus without val
            "LightningCLI's args parameter",  # of QAT, which is a fit
            "Checkpoint directory .* exists and is not empty",  # a run that is resumed
            "The number of training batches .* is smaller than the logging interval",  # of few clips
        ):
            warnings.filterwarnings("ignore", message=message)
        super().__init__(
            model,
            ClipData,
            args=arguments,
            seed_everything_default=0,
            parser_class=Parser,
            save_config_callback=SaveRecipe,
            save_config_kwargs={"overwrite": True},  # a resumed run writes into the same folder
            parser_kwargs={
                verb: {"usage": f"python -m train {verb} --config RECIPE [--KEY VALUE ...]"}
                for verb in _VERBS
            },
            trainer_defaults={
                "default_root_dir": ".",
                "num_sanity_val_steps": 0,
                "use_distributed_sampler": False,  # ClipData shards by itself, and by epoch
                "log_every_n_steps": 10,
                "enable_model_summary": False,
            },
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse, and refuse a recipe of which something would be overridden in silence."""
        super().parse_arguments(parser, args)
        check_recipe(self.config[self.config["subcommand"]])

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The verbs that this release has."""
        verbs = LightningCLI.subcommands()
        return {verb: verbs[verb] for verb in _VERBS}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The limits that a student is compared with, and the form of predictions."""
        link_recipe(parser)
        parser.add_argument(
            "--rules",
            default="dcase2024",
            help="limits checked before the first epoch; see `python -m complexity`",
        )
        parser.add_argument(
            "--allow-over-budget", action="store_true", help="train although the limits are exceeded"
        )
        parser.add_argument("--init", help="of fit: a model.pt whose weights the training starts from")
        parser.add_argument(
            "--chosen-epoch",
            type=Literal["best", "last"],
            default="best",
            help="of fit: the epoch whose weights model.pt has: the best one on the validation split, or the "
            "last one, so that the split chooses nothing and its score can be reported",
        )
        parser.add_argument(
            "--file-names",
            type=FileNames,
            default="listed",
            help="of predict's output.csv: listed is as the corpus has them (DCASE 2022, 2023, 2025), bare "
            "without folders (the baseline of 2024)",
        )

    def instantiate_trainer(self, **kwargs: Any) -> lightning.Trainer:
        """Loggers and the checkpoint callback where the recipe names none."""
        config = self.config_init[self.config_init["subcommand"]]
        root = Path(config["trainer"]["default_root_dir"])
        trainer = config["trainer"]
        if trainer.get("logger") in (None, True):
            kwargs["logger"] = [
                TensorBoardLogger(root, "tensorboard", default_hp_metric=False),
                CSVLogger(root, "csv"),
            ]
        # Two: the callback that monitors a metric saves only when it improves
        self._checkpoints = ModelCheckpoint(root / "checkpoints", "best", mode="max", save_top_k=0)
        self._data_wait = DataWait()
        last = ModelCheckpoint(root / "checkpoints", "last", enable_version_counter=False)
        saving = [] if trainer.get("enable_checkpointing") is False else [self._checkpoints, last]
        kwargs["callbacks"] = [*(trainer.get("callbacks") or []), *saving, self._data_wait, Interruption()]
        if trainer.get("enable_progress_bar") is None:  # to stderr, and quiet where that is no terminal
            kwargs["enable_progress_bar"] = sys.stderr.isatty()
        if kwargs.get("enable_progress_bar"):
            kwargs["callbacks"].append(RichProgressBar(console_kwargs={"stderr": True}))
        with as_config_errors("The trainer's options cannot be used", ValueError, ImportError):
            made = super().instantiate_trainer(**kwargs)
        if type(made.strategy.checkpoint_io) is TorchCheckpointIO:  # the recipe names no other
            made.strategy.checkpoint_io = WholeCheckpoints()
        return made

    @property
    def root(self) -> Path:
        """The run's folder."""
        return Path(self.trainer.default_root_dir)

    def before_fit(self) -> None:
        """Measure the student; stop before the first epoch where it is over the limits."""
        self._check_ckpt_path()
        self._make_root()
        if any(isinstance(found, StochasticWeightAveraging) for found in self.trainer.callbacks):  # type: ignore[attr-defined]
            raise ConfigError(
                "Lightning's StochasticWeightAveraging neither validates nor saves its average, so model.pt "
                "would be without it: take train.training.weight_averaging.EpochAverage."
            )
        self._load_initial_weights()
        report = self._measure()
        beyond = sum(item.macs for item in report.uncounted)
        rank_zero_only(print)(
            f"{self.model.student_name}: {report.params:,} parameters, {report.macs:,} MACs per clip "
            f"({report.budget.name}: {'within' if report.within else 'over'} the limits"
            f"{f'; {beyond:,} more that its rule does not count' if beyond > report.macs else ''})",
            file=sys.stderr,
        )
        if not report.within and not self.config[self.subcommand]["allow_over_budget"]:
            raise ConfigError(
                f"{report.excess()} Make the student smaller, or train it all the same with "
                "--allow-over-budget."
            )
        self.datamodule.setup("fit")
        if not self.config[self.subcommand].get("ckpt_path"):
            self._keep_interrupted()
        if (chosen_by := self._chosen_by()) and self.config[self.subcommand]["chosen_epoch"] == "best":
            self._checkpoints.monitor, self._checkpoints.save_top_k = f"val/{chosen_by}", 1

    def _load_initial_weights(self) -> None:
        """Start from the weights of another model.pt, and print what differs."""
        config = self.config[self.subcommand]
        if not config["init"]:
            return
        if config.get("checkpoint"):  # of QAT
            raise ConfigError("--init is for `fit`: `qat` starts from its --checkpoint.")
        if config.get("ckpt_path"):
            raise ConfigError("--init starts a training and --ckpt_path resumes one: give one of them.")
        for note in load_initial_weights(self.model, config["init"]):
            rank_zero_only(print)(f"{Path(config['init']).name}: {note}", file=sys.stderr)

    def _make_root(self) -> None:
        """Make the run's folder now: hours later it would be too late to name another."""
        make_folder(self.root, "name another trainer.default_root_dir")

    @rank_zero_only
    def _keep_interrupted(self) -> None:
        if found := keep_interrupted(self.root):
            print(
                "The folder has a training that was interrupted: this is a new one. To go on with the "
                f"other, stop it and give --ckpt_path={found}.",
                file=sys.stderr,
            )

    def _chosen_by(self) -> str | None:
        """What the best epoch is chosen by: labels, or label agreement where the split is not labelled."""
        if self._has_labelled_validation():
            return MAIN_METRIC[self.model.task]
        return "agreement" if self.model.teachers_cover(self.datamodule.datasets["val"]) else None

    def _measure(self) -> complexity.Report:
        rules = complexity.Budget.named(self.config[self.subcommand]["rules"])
        model = self.model.to_checkpoint().build()
        return complexity.measure(model, self.model.input_shape, budget=rules, frontend=self.model.spec)

    def after_fit(self) -> None:
        """Write model.pt from the best epoch, or from the last one where nothing was validated."""
        if self.trainer.interrupted:
            return
        if self._had_ended():
            rank_zero_only(print)(
                f"Nothing was left to train, and {self.root / 'model.pt'} stays as it is: to train on, raise "
                "trainer.max_epochs or trainer.max_steps.",
                file=sys.stderr,
            )
            return
        chosen, confidence = self._choose()  # all processes judge together
        if not self.trainer.is_global_zero:
            return
        datasets = self.datamodule.datasets
        windows = int8_windows(
            datasets["train"],
            datasets.get("val"),
            self.model.log_mel,
            self.model.augmentation,
            self.model.task,
        )
        model = self.model.to_checkpoint(provenance=self._provenance(chosen), **confidence, **windows)
        earlier = model_pt.save_beside_earlier(model, self.root / "model.pt")
        moved = f"; the one that was there is {earlier.name} now" if earlier else ""
        print(f"wrote {self.root / 'model.pt'} ({chosen}){moved}", file=sys.stderr)

    def _had_ended(self) -> bool:
        """Whether ``--ckpt_path=last`` went on with a training of this folder that had nothing left to do."""
        if self.config[self.subcommand].get("ckpt_path") != "last" or self._data_wait.worked_s:
            return False
        # one answer for all processes: another node may not see the files
        return bool(self.trainer.strategy.broadcast(has_ended(self.root)))

    def _choose(self) -> tuple[str, dict[str, Any]]:
        """Load the best epoch's weights; returns which epoch that is, and the fitted confidence."""
        chosen = "last epoch"
        if self._checkpoints.monitor and self._checkpoints.best_model_path:
            best: Any = None
            if self.trainer.is_global_zero:  # another node may not see the file
                best = torch.load(self._checkpoints.best_model_path, map_location="cpu", weights_only=True)
                best = {name: best[name] for name in ("state_dict", "epoch")}
            best = self.trainer.strategy.broadcast(best)
            self.model.load_state_dict(best["state_dict"])
            chosen = f"epoch {best['epoch']}, best of {self._checkpoints.monitor}"
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        trained = [found for found in callbacks if not isinstance(found, WeightAveraging)]
        if len(trained) < len(callbacks):
            # or the callback would judge its own copy of the average in place of the weights that are written
            callbacks[:] = trained
            estimate_batch_norm(self.model, self.datamodule.datasets["train"], self.datamodule.batch_size)
        return chosen, self._fit_confidence() if self._has_labelled_validation() else {}

    def _has_labelled_validation(self) -> bool:
        return bool(self.datamodule.datasets["val"].labelled.any())

    def _fit_confidence(self) -> dict[str, Any]:
        """Of the present weights on the validation split; nothing where nobody labelled that."""
        self.trainer.validate(self.model, self.datamodule, verbose=False)
        if self.model.evaluated is None:
            return {}
        probabilities, targets = self.model.evaluated
        return fit_confidence(probabilities, targets, self.model.labels, self.model.task)

    def _provenance(self, chosen: str) -> dict[str, Any]:
        packages = ("tinyscene", "torch", "lightning", "numpy")
        return {
            "data": self.datamodule.corpus.describe(),
            "licence": self.datamodule.corpus.licence,
            "seed": self.model.seed,
            "epochs": self.trainer.current_epoch,
            "checkpoint": chosen,
            **({"teachers": self.model.teachers.describe()} if self.model.teachers else {}),
            **({"init": describe_file(init)} if (init := self.config[self.subcommand]["init"]) else {}),
            "recipe": portable_values(self.config[self.subcommand], "seed_everything", "model", "data"),
            "versions": {name: metadata.version(name) for name in packages}
            | {"python": platform.python_version()},
        }

    def before_validate(self) -> None:
        """Evaluate the model.pt of the run's folder."""
        if self.config[self.subcommand]["init"]:
            raise ConfigError("--init is for `fit`: this command reads the model.pt of the run's folder.")
        self._check_ckpt_path()
        self._load_model()

    before_test = before_predict = before_validate

    def _parse_ckpt_path(self) -> None:
        """Nothing: Lightning looks for arguments in the checkpoint, where `Classifier` writes none.

        It ends with a traceback where the file is none of its own; `_check_ckpt_path` has a sentence.
        """

    def _check_ckpt_path(self) -> None:
        """Refuse what Lightning ends with a traceback for, or goes on from with random weights."""
        path = str(self.config[self.subcommand].get("ckpt_path") or "")
        if path == "best":
            raise ConfigError(
                "--ckpt_path=best is for the process that trained: name the file, such as "
                f"{last_checkpoint(self.root).with_stem('best')}, or --ckpt_path=last."
            )
        file = last_checkpoint(self.root) if path == "last" else Path(path)
        begins = path == "last" and self.subcommand == "fit" and not file.exists()
        elsewhere = path == "hpc" or "://" in path or path.lower().startswith("registry")
        if path and not begins and not elsewhere:
            check_checkpoint(file)

    def _load_model(self) -> None:
        if self.config[self.subcommand].get("ckpt_path"):
            return  # Lightning loads it
        model = model_pt.load(self.root / "model.pt")
        model_pt.refuse_other_settings(model, self.model.to_checkpoint(), self.root / "model.pt")
        self.model.student.load_state_dict(model.build().state_dict())
        self.model.temperature = model.temperature  # reports have the probabilities that users will see
        self.model.thresholds = model.thresholds

    def after_test(self) -> None:
        """Print the report and write it beside the model as JSON and PNG."""
        self._report("test")

    def after_predict(self) -> None:
        """Write the predictions for the test split as DCASE's output.csv."""
        probabilities, windows = self.model.gather(self.trainer.predict_loop.predictions)
        if not self.trainer.is_global_zero:
            return
        present, _, of_clips = clip_means(probabilities, windows)
        clips = self.datamodule.datasets["test"].clips
        names = file_names([clips[place].id for place in present], self.config[self.subcommand]["file_names"])
        output, model = self.root / "output.csv", self.model
        write_output(output, names, of_clips, model.labels, model.task, model.thresholds)
        print(f"wrote {output}: {len(names)} clips", file=sys.stderr)

    def after_validate(self) -> None:
        """As `after_test`, of the validation split."""
        self._report("val")

    def _report(self, split: str) -> None:
        """By labels where there are any, and by label agreement where teachers have scored the split."""
        evaluation = self.model.evaluation
        agreed = self.trainer.callback_metrics.get(f"{split}/agreement")
        if evaluation is None and agreed is None:
            raise DataError(
                f"No clip of the {split} split is labelled, so there is nothing to compare predictions with: "
                "`python -m train predict` writes them."
            )
        if not self.trainer.is_global_zero:
            return
        values: dict[str, Any] = {"split": split, "data": self.datamodule.corpus.describe()}
        written = f"{self.root / f'{split}_report'}.json"
        if evaluation is not None:
            print(evaluation.to_text())
            values |= evaluation.to_dict()
            evaluation.to_csv(self.root / f"{split}_report.csv")
            evaluation.plot(self.root / f"{split}_{evaluation.drawn}.png")
            written += f", .csv and {split}_{evaluation.drawn}.png"
        if agreed is not None:
            print(f"{agreed:.1%} of windows get the label that the teachers give")
            values["teacher_agreement"] = float(agreed)
        with write_beside(self.root / f"{split}_report.json") as partial:
            partial.write_text(json.dumps(values, indent=2) + "\n")
        print(f"wrote {written}", file=sys.stderr)
