"""Clips to batches of windows: the one data module, whatever the corpus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import lightning
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import DataLoader
from tqdm import tqdm

from runtime.errors import AudioError, DataError
from train.data.batch_sampler import BatchLoader, EpochBatches
from train.data.classes import names_alike, refuse_lost_classes, thin_classes
from train.data.corpus import SPLITS, Clip, Corpus, Samples, Split
from train.data.hold_out import hold_out
from train.data.windows import Batch, ClipWindows

_NEEDED: dict[str, tuple[Split, ...]] = {  # by a stage; the first may not be empty
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("test",),
}


class OnDemand(Sequence[Samples]):
    """The waveforms of clips, read anew at every access except that to the same clip again.

    Args:
        corpus: that reads them.
        clips: in order.
        sample_rate: Hz.
    """

    def __init__(self, corpus: Corpus, clips: Sequence[Clip], sample_rate: int) -> None:
        self.corpus, self.clips, self.sample_rate = corpus, clips, sample_rate
        self._last: tuple[int, Samples] | None = None  # the windows of one long clip follow each other

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Samples:  # type: ignore[override]
        last = self._last
        if last is None or last[0] != index:
            last = self._last = (index, self.corpus.read(self.clips[index], self.sample_rate))
        return last[1]


class ClipData(lightning.LightningDataModule):
    """Batches of windows from any corpus.

    Args:
        corpus: where the clips come from.
        batch_size: windows in a training batch.
        jitter: move training windows by up to half a window, newly drawn in every epoch.
        seed: of shuffling, jitter and places.
        labelled: share of the training recordings of each class that keep their labels; the labels of the
            others, which the seed chooses, are withheld, and only a teacher's logits are learned from them.
        negative_share: share of negatives (see `train.data.WithNegatives`) among the training windows of an
            epoch, in [0, 1); each epoch draws others. Null takes all of them.
        quiet_db: leave out windows that lie further below the loudest one of their clip than this: what
            sounds between barks is no bark. Null takes all that are not silent.
        random_place: put a training clip that is shorter than a window at a random place in it, which every
            epoch draws anew; otherwise it begins the window.
        only_labelled: leave those others out, to measure what the remaining labels alone are worth.
        skip_corrupt: leave out clips that cannot be read, with a warning; otherwise the first one stops the
            run. A class of which nothing can be read stops it all the same.
        in_memory: hold all waveforms, 128 kB a second at 32 kHz; 64 kB where int16 has the samples exactly,
            as of packed corpora and of mono files of 16 bits at that rate. Where they do not fit, pack the
            corpus and switch this off: windows are then read from disk as they are needed.
        num_workers: processes that cut the batches beside the training, and on a CPU augment them, compute
            their log-mels and run the teachers; 0 does all of it in the training's own. The batches are the
            same.
        pin_memory: put batches into page-locked memory, from which a GPU copies faster.
        persistent_workers: keep the worker processes, where there are any, from one epoch to the next.
        sample_rate: Hz; set from the model's front end.
        clip_s: window length in seconds; set from the model.

    Attributes:
        datasets: the windows of each split that `setup` has read.
        views: number of different epochs: epoch ``views`` is epoch 0 again, as a store of teachers' logits
            asks for. None repeats none. Read when the training loader is made.
        preparation: what workers make of a training batch after they cut it.
    """

    def __init__(
        self,
        corpus: Corpus,
        batch_size: int = 32,
        jitter: bool = True,
        seed: int = 0,
        labelled: float = 1.0,
        only_labelled: bool = False,
        negative_share: float | None = None,
        quiet_db: float | None = None,
        random_place: bool = False,
        skip_corrupt: bool = False,
        in_memory: bool = True,
        num_workers: int = 0,
        pin_memory: bool = False,
        persistent_workers: bool = False,
        sample_rate: int = 32_000,
        clip_s: float = 1.0,
    ) -> None:
        super().__init__()
        if skip_corrupt and not in_memory:
            raise DataError(
                "data.skip_corrupt needs data.in_memory: leave corrupt clips out when the corpus is packed "
                "(`python -m train pack --skip-corrupt`)."
            )
        if not 0 <= labelled <= 1:
            raise DataError(f"data.labelled is a share of the training clips, in [0, 1], not {labelled}.")
        if negative_share is not None and not 0 <= negative_share < 1:
            raise DataError(
                "data.negative_share is a share of the training windows, from 0 to below 1, not "
                f"{negative_share}."
            )
        if quiet_db is not None and not quiet_db > 0:
            raise DataError(f"data.quiet_db is a number of dB above 0, not {quiet_db}.")
        if batch_size < 1:
            raise DataError(f"data.batch_size is a number of windows, 1 or more, not {batch_size}.")
        if num_workers < 0:
            raise DataError(f"data.num_workers is a number of processes, 0 or more, not {num_workers}.")
        self.labelled, self.only_labelled = labelled, only_labelled
        self.negative_share, self.quiet_db = negative_share, quiet_db
        self.skip_corrupt, self.in_memory = skip_corrupt, in_memory
        self.corpus, self.batch_size, self.seed = corpus, batch_size, seed
        self.jitter, self.random_place = jitter, random_place
        self.sample_rate, self.clip_s = sample_rate, clip_s
        self.labels, self.task = corpus.labels, corpus.task
        self.datasets: dict[Split, ClipWindows] = {}
        self._views: int | None = None
        self._preparation: Callable[[Batch], Any] = _as_it_is
        self._train_loader: BatchLoader | None = None
        self.num_workers = num_workers
        self._loading: dict[str, Any] = {
            "num_workers": num_workers,
            "pin_memory": pin_memory,
            "persistent_workers": persistent_workers and num_workers > 0,
        }
        self._withheld: set[str] = set()  # ids of the training clips whose labels are not used

    def setup(self, stage: str | None = None) -> None:
        """Read the splits that a stage needs into memory, once."""
        clips = dict(self.corpus.splits())
        labelled, withheld = hold_out(clips["train"], 1 - self.labelled, self.seed)
        self._withheld = {clip.id for clip in withheld}
        if self.only_labelled:
            clips["train"] = [clip for clip in labelled if clip.targets is not None]
        if stage == "fit" and "train" not in self.datasets:
            self._warn_of_classes(clips["train"])
        for split in _NEEDED.get(stage or "", SPLITS):
            if split not in self.datasets:
                self.datasets[split] = self._read(split, clips[split])
        for split in _NEEDED.get(stage or "", ())[:1]:
            if not len(self.datasets[split]):
                raise DataError(
                    f"The {split} split holds no clips: name the folds or lists that it is made of."
                )

    def _warn_of_classes(self, training: Sequence[Clip]) -> None:
        for lack, members in thin_classes(self.labels, training).items():
            rank_zero_warn(f"Classes with {lack}: {', '.join(members)}.")
        for pair in names_alike(self.labels):
            rank_zero_warn(f"Two labels look like one: {pair}; rename one where they are.")

    def _read(self, split: Split, clips: Sequence[Clip]) -> ClipWindows:
        on_demand = OnDemand(self.corpus, clips, self.sample_rate)
        samples: Sequence[Samples] = on_demand
        if self.in_memory:
            clips, samples = self._hold(split, on_demand)
        length = round(self.clip_s * self.sample_rate)
        training = split == "train"
        dataset = ClipWindows(
            clips,
            samples,
            length,
            len(self.labels),
            jitter=self.jitter and training,
            random_place=self.random_place and training,
            seed=self.seed,
            unlabelled=self._withheld if training else (),
            negative_share=self.negative_share if training else None,
            quiet_db=self.quiet_db,
        )
        padded = sum(n < length for n in dataset.lengths)
        if padded:
            rank_zero_warn(
                f"{padded} clips of {split} are shorter than {self.clip_s} s and were padded with zeros."
            )
        return dataset

    def _hold(self, split: Split, waves: OnDemand) -> tuple[list[Clip], list[Samples]]:
        """Read a split into memory; a clip that cannot be read stops it, or is left out and counted."""
        read: list[tuple[Clip, Samples]] = []
        for index in tqdm(range(len(waves)), desc=f"reading {split}", unit="clip", disable=None, leave=False):
            try:
                read.append((waves.clips[index], waves[index]))
            except AudioError as error:
                if not self.skip_corrupt:
                    raise AudioError(
                        f"{error} To train without such clips: --data.skip_corrupt true."
                    ) from error
                rank_zero_warn(f"left out: {error}")
        clips = [clip for clip, _ in read]
        if len(read) < len(waves):
            rank_zero_warn(f"{len(waves) - len(read)} of {len(waves)} clips of {split} were left out.")
        if split == "train":
            refuse_lost_classes(self.labels, waves.clips, clips)
        return clips, [wave for _, wave in read]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled and jittered anew in every epoch; an incomplete last batch is left out."""
        dataset = self.datasets["train"]
        batches = EpochBatches(dataset, self.batch_size, *self._shard, views=self.views)
        self._train_loader = BatchLoader(
            dataset,
            batch_size=None,
            sampler=batches,
            collate_fn=cast(Any, self._preparation),  # of one batch, not of a list of examples
            **self._loading,
        )
        return self._train_loader

    @property
    def views(self) -> int | None:
        """Number of different epochs; see the class."""
        return self._views

    @views.setter
    def views(self, views: int | None) -> None:
        # Lightning may have made the training loader already, to count the steps for the optimizer
        self._views = views
        if self._train_loader is not None:
            self._train_loader.sampler.views = views  # type: ignore[attr-defined]

    @property
    def preparation(self) -> Callable[[Batch], Any]:
        """What workers make of a training batch; see the class."""
        return self._preparation

    @preparation.setter
    def preparation(self, preparation: Callable[[Batch], Any]) -> None:
        self._preparation = preparation
        if self._train_loader is not None:  # its workers start with the first batch
            self._train_loader.collate_fn = preparation

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """In order, or nothing where the corpus has no validation split."""
        return self._loader("val") if len(self.datasets["val"]) else []

    def test_dataloader(self) -> DataLoader[Batch]:
        """In order."""
        return self._loader("test")

    predict_dataloader = test_dataloader

    @property
    def _shard(self) -> tuple[int, int]:
        """Number of this process, and how many there are."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _in_order(self, split: Split) -> range:
        """This process's windows of a split: none twice, none left out."""
        rank, world = self._shard
        return range(rank, len(self.datasets[split]), world)

    def _loader(self, split: Split) -> DataLoader[Batch]:
        return BatchLoader(
            self.datasets[split],
            batch_size=self.batch_size,  # by name: Lightning builds the loader anew to predict
            sampler=self._in_order(split),
            collate_fn=_as_it_is,
            **self._loading,
        )


def _as_it_is(batch: Any) -> Any:
    """What the dataset cut is a batch already, and no list of examples to put together."""
    return batch
