"""``python -m train teach``: precompute teacher logits for a recipe's corpus, and write a logit store.

By default every window is scored once, without augmentation. With --views V the teachers are shown exactly
what the student will be shown in its epochs 0 to V-1 (crop, augmentation, MixUp partner); from epoch V on
the student repeats these views.

Several processes share the work (``torchrun --nproc-per-node 2 -m train teach ...``), and a run that was
killed resumes where it stopped.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from torch import Tensor
from tqdm import tqdm

from runtime import entry_point
from runtime.errors import ConfigError, TinysceneError
from runtime.files import refuse_to_replace, write_beside
from train.augmentation.views import View
from train.cli.argument_parser import Parser
from train.cli.recipe import link_recipe
from train.data import Batch, ClipData, ClipWindows
from train.data.batch_sampler import EpochBatches
from train.data.corpus import Split
from train.data.windows import BatchIndices
from train.distillation import logit_store
from train.distillation.logit_store import UNAUGMENTED, Header, Rows
from train.distillation.teachers import Half, Teacher, check_labels, find_teacher, teacher_input
from train.partial_results import PartialResults
from train.training.lightning_module import Classifier

_PART = 16  # batches a part; a killed process loses at most one part


class Job(NamedTuple):
    """One batch to score.

    Attributes:
        split: of the corpus.
        view: an epoch of the training, or `UNAUGMENTED`.
        number: of the batch within the epoch.
        windows: positions of its windows in the split.
    """

    split: Split
    view: int
    number: int
    windows: list[int]


class PrecomputeCLI(LightningCLI):
    """Reads a recipe as training does, and builds its data and student without training."""

    def __init__(self) -> None:
        super().__init__(
            Classifier,
            ClipData,
            run=False,
            save_config_callback=None,
            seed_everything_default=0,
            parser_class=Parser,
            parser_kwargs={"description": __doc__, "usage": _USAGE},
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The keys of a recipe, and the teachers."""
        link_recipe(parser)
        parser.add_argument(
            "--teacher", nargs="+", required=True,
            help="model.pt, .onnx or package.module:name; the logits of several are averaged",
        )  # fmt: skip
        parser.add_argument("--checkpoint", help="weights of a package.module:name")
        parser.add_argument(
            "--views", type=int, default=0, help="epochs of the training to score; 0: without augmentation"
        )
        parser.add_argument(
            "--splits",
            nargs="+",
            default=["train", "val"],
            help="scored without augmentation, except train with --views",
        )
        parser.add_argument("--top-k", type=int, help="keep only the k largest logits of a window")
        parser.add_argument("--window", type=float, help="window of a callable teacher in seconds")
        parser.add_argument(
            "--teacher-input", type=Half, default="scene",
            help="with --views: the scene before its capture, or the capture as the student (%(default)s)",
        )  # fmt: skip
        parser.add_argument("--device", default="auto", help="cpu, cuda, or auto")
        parser.add_argument("--output", "-o", default="logits.h5", help="the store to write")

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """No trainer: nothing is trained."""


_USAGE = "python -m train teach --config RECIPE --teacher model.pt [...] [--views V] [-o logits.h5]"


def main(arguments: list[str]) -> int:
    """Score the missing parts; the first process merges all parts. Returns an exit code."""
    sys.argv = ["python -m train teach", *arguments]  # where LightningCLI looks
    cli = PrecomputeCLI()
    options = cli.config
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    for split in options.splits:
        if split not in get_args(Split):
            raise ConfigError(f"There is no split '{split}': the splits are train, val and test.")
    refuse_to_replace(options.teacher, options.output)
    device = _device(options.device)
    teachers = [find_teacher(name, options.checkpoint, device) for name in options.teacher]
    work = ScoringPlan(
        cli.model.to(device).eval(), cli.datamodule, teachers,
        views=options.views, splits=options.splits, top_k=options.top_k, window_s=options.window,
        half=options.teacher_input,
    )  # fmt: skip
    output = Path(options.output)
    parts = PartialResults(output, work.key(), -(-len(work.jobs) // _PART))
    mine = [index for index in parts.missing() if index % world == rank]
    for index in tqdm(mine, desc="scoring", unit="part", disable=None if rank == 0 else True):
        _write_part(parts.paths[index], [work.score(job) for job in work.jobs[index * _PART :][:_PART]])
    if rank:
        return entry_point.EXIT_OK
    if left := parts.missing():
        print(f"waiting for the other processes, which score {len(left)} parts", file=sys.stderr)
    while parts.missing():
        time.sleep(0.2)
    rows = Rows.concatenate([_read_part(path) for path in parts.paths])
    logit_store.write(output, work.header(), work.clip_ids, rows)
    parts.clear()
    print(
        f"wrote {output}: logits of {len(rows.clip):,} windows of {len(work.clip_ids):,} clips",
        file=sys.stderr,
    )
    return entry_point.EXIT_OK


class ScoringPlan:
    """The batches to score, in an order that does not depend on the number of processes.

    Args:
        student: whose views the teachers are shown.
        data: the corpus.
        teachers: whose logits are averaged.
        views: epochs of the training split to score; 0 scores it without augmentation.
        splits: to score.
        top_k: number of logits to store a window; None stores all.
        window_s: seconds of an unaugmented window; None takes the teachers' own.
        half: of the views, that the teachers receive.

    Attributes:
        jobs: the batches.
        clip_ids: of all clips; ``clip`` of a row is a position in this list.

    Raises:
        ConfigError: where the teachers do not fit the data or each other.
    """

    def __init__(
        self,
        student: Classifier,
        data: ClipData,
        teachers: Sequence[Teacher],
        *,
        views: int = 0,
        splits: Sequence[Split] = ("train", "val"),
        top_k: int | None = None,
        window_s: float | None = None,
        half: Half = "scene",
    ) -> None:
        self.student, self.teachers, self.views, self.top_k = student, teachers, views, top_k
        self.half = half
        self.labels = _common("labels", [teacher.labels for teacher in teachers])
        self.task = _common("task", [teacher.task for teacher in teachers])
        self.sees_mixing = _common("handling of MixUp", [teacher.sees_mixing for teacher in teachers])
        check_labels("The teacher", self.labels, student.labels)
        if top_k is not None and not 1 <= top_k <= len(self.labels):
            raise ConfigError(f"--top-k lies between 1 and the number of labels, {len(self.labels)}.")
        if views < 0:
            raise ConfigError(f"--views is a number of epochs, 0 or more, not {views}.")
        self.window = round(self._window_s(window_s) * student.spec.sample_rate)
        data.setup("fit" if "test" not in splits else None)
        self.datasets: dict[Split, ClipWindows] = {split: data.datasets[split] for split in splits}
        self.view_key = student.view_key(data.datasets["train"], data.batch_size) if views else {}
        self.jobs: list[Job] = []
        self.clip_ids: list[str] = []
        self._first_clip: dict[Split, int] = {}
        for split, dataset in self.datasets.items():
            self._first_clip[split] = len(self.clip_ids)
            self.clip_ids += [clip.id for clip in dataset.clips]
            self._plan(split, dataset, data.batch_size)

    def _window_s(self, window_s: float | None) -> float:
        """Seconds of a window; all teachers and, with views, the student must agree in it."""
        lengths = {t.window_s for t in self.teachers if t.window_s} | ({window_s} if window_s else set())
        if len(lengths) > 1 or (self.views and lengths - {self.student.clip_s}):
            listed = " and ".join(f"{seconds} s" for seconds in sorted(lengths))
            raise ConfigError(
                f"The teachers take windows of {listed} and the student of {self.student.clip_s} s: score "
                "them without augmentation (--views 0), one window length at a time."
            )
        return lengths.pop() if lengths else self.student.clip_s

    def _plan(self, split: Split, dataset: ClipWindows, batch_size: int) -> None:
        if split == "train" and self.views:
            batches = EpochBatches(dataset, batch_size)
            for view in range(self.views):
                batches.set_epoch(view)
                self.jobs += [Job(split, view, n, indices.windows) for n, indices in enumerate(batches)]
            return
        if dataset.length != self.window:
            dataset = ClipWindows(dataset.clips, dataset.samples, self.window, len(self.labels))
            self.datasets[split] = dataset
        starts = range(0, len(dataset), batch_size)
        self.jobs += [
            Job(split, UNAUGMENTED, -1, list(range(start, min(start + batch_size, len(dataset)))))
            for start in starts
        ]

    def header(self) -> Header:
        """The header of the store."""
        return Header(
            labels=self.labels,
            task=self.task,
            sample_rate=self.student.spec.sample_rate,
            window=self.window,
            view=self.view_key,
            views=self.views,
            mixed=bool(self.views) and (self.sees_mixing or self._mixes_waveforms),
            top_k=self.top_k,
            provenance=[teacher.describe() for teacher in self.teachers],
        )

    @property
    def _mixes_waveforms(self) -> bool:
        """Whether the views are mixtures of waveforms alone, which every teacher receives as such."""
        augmentation = self.student.augmentation
        if augmentation is None or augmentation.scene is None:
            return False
        return augmentation.scene.mix_p > 0 and augmentation.mixup_alpha is None

    def key(self) -> Any:
        """JSON values by which the parts of an interrupted run are recognised."""
        header = self.header()
        return [vars(header), self.clip_ids, len(self.jobs), self.half]

    @torch.inference_mode()
    def score(self, job: Job) -> Rows:
        """Score one batch with every teacher; the logits are averaged."""
        dataset = self.datasets[job.split]
        if job.view == UNAUGMENTED:
            batch = self._moved(dataset.at_rest(job.windows))
            view = View(batch.waveform, self.student.log_mel(batch.waveform))
        else:
            batch = self._moved(dataset[BatchIndices(job.view, job.windows, job.number)])
            view = self.student.view(batch, dataset)
        each = [self._in_order(teacher, view) for teacher in self.teachers]
        clips = batch.clip.cpu().numpy() + self._first_clip[job.split]
        logits = torch.stack(each).mean(dim=0)
        if not logits.isfinite().all():
            raise TinysceneError(
                f"A teacher's logits are not finite for {dataset.clips[int(batch.clip[0])].id} or another "
                "clip of its batch: take another teacher, or run `python -m train check-data`."
            )
        return Rows.of(clips, batch.start.cpu().numpy(), job.view, job.number, logits, self.top_k, self.task)

    def _moved(self, batch: Batch) -> Batch:
        moved: Batch = move_data_to_device(batch, self.student.device)
        return moved

    def _in_order(self, teacher: Teacher, view: View) -> Tensor:
        """A teacher's logits in the order of the first one's labels."""
        logits = teacher.logits(teacher_input(view, self.student.spec, self.half))
        return logits[:, [teacher.labels.index(label) for label in self.labels]]


def _common(what: str, values: Sequence[Any]) -> Any:
    """The one value that all teachers have."""
    if len({frozenset(value) if isinstance(value, tuple) else value for value in values}) > 1:
        raise ConfigError(f"The teachers differ in their {what}: make a store of each.")
    return values[0]


def _device(name: str) -> torch.device:
    if name == "auto":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"There is no device '{name}' here: give --device cpu.") from error


def _write_part(path: Path, rows: Sequence[Rows]) -> None:
    with write_beside(path) as partial:
        np.savez(partial, **Rows.concatenate(rows)._asdict())


def _read_part(path: Path) -> Rows:
    with np.load(path) as part:
        return Rows(*(part[name] for name in Rows._fields))
