"""Clips to batches of windows: the one data module, whatever the corpus."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from runtime.audio.level import NO_SIGNAL_DBFS, level_dbfs
from runtime.audio.samples import as_float
from runtime.audio.window_grid import window_starts
from runtime.errors import AudioError, DataError
from train.data.corpus import SPLITS, Clip, Corpus, Samples, Split, multi_hot
from train.data.tables import hold_out

_NEEDED: dict[str, tuple[Split, ...]] = {  # by a stage; the first may not be empty
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("test",),
}


class Batch(NamedTuple):
    """Windows of clips.

    Attributes:
        waveform: float32 [batch, samples].
        target: float32 [batch, classes], 1 for each label of the clip; all 0 where it is not labelled.
        labelled: float32 [batch], 1 where the clip is labelled and 0 where it is not.
        clip: int64 [batch], the position of its clip among the split's clips.
        start: int64 [batch], the window's first sample within its clip.
    """

    waveform: Tensor
    target: Tensor
    labelled: Tensor
    clip: Tensor
    start: Tensor


class Window(NamedTuple):
    """Where a window lies: clip position in its split, first sample."""

    clip: int
    start: int


class ClipWindows(Dataset[Batch]):
    """The windows of a split, cut from its clips.

    Args:
        clips: the split's clips.
        samples: their waveforms, in the same order.
        length: samples of a window.
        n_classes: width of the targets.
        jitter: draw every window's place anew, up to half a window around its own, by seed and epoch.
        seed: of the jitter.
        hidden: ids of clips whose labels are not told.

    Attributes:
        epoch: whose places the windows have now; `EpochBatches` sets it.
        views: number of different epochs; epoch ``views`` is epoch 0 again. None is no end of them.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        samples: Sequence[Samples],
        length: int,
        n_classes: int,
        *,
        jitter: bool = False,
        seed: int = 0,
        hidden: Container[str] = (),
    ) -> None:
        self.clips, self.samples, self.length = clips, samples, length
        self.views: int | None = None
        self.labelled = np.array([c.targets is not None and c.id not in hidden for c in clips], np.float32)
        self.targets = multi_hot(clips, n_classes) * self.labelled[:, None]
        self.jitter, self.seed, self.epoch = jitter, seed, 0
        self.windows: list[Window] = []
        self.lengths: list[int] = []  # of the clips, samples
        # tqdm's None: silent where stderr is not a terminal
        cut = tqdm(samples, desc="cutting windows", unit="clip", disable=None, leave=False)
        for clip, wave in enumerate(cut):
            self.lengths.append(len(wave))
            self.windows += [Window(clip, start) for start in sounding_windows(wave, length)]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, indices: list[int]) -> Batch:
        """Cut a whole batch at once, as this epoch sees it."""
        return self._batch([self._shifted(i) if self.jitter else self.windows[i] for i in indices])

    __getitems__ = __getitem__  # what a loader asks that batches by itself

    def at_rest(self, indices: list[int]) -> Batch:
        """The same windows without jitter."""
        return self._batch([self.windows[i] for i in indices])

    def _batch(self, windows: Sequence[Window]) -> Batch:
        clips, starts = np.array(windows, np.int64).T
        return Batch(
            torch.from_numpy(np.stack([self._cut(window) for window in windows])),
            torch.from_numpy(self.targets[clips]),
            torch.from_numpy(self.labelled[clips]),
            torch.from_numpy(clips),
            torch.from_numpy(starts),
        )

    def _shifted(self, index: int) -> Window:
        """A window moved by this epoch's jitter."""
        clip, start = self.windows[index]
        draw = np.random.default_rng((self.seed, self.epoch, index))
        start += int(draw.integers(-self.length // 2, self.length // 2 + 1))
        return Window(clip, min(max(start, 0), max(self.lengths[clip] - self.length, 0)))

    def _cut(self, window: Window) -> np.ndarray:
        """One window, float32 [samples]."""
        wave, start = self.samples[window.clip], window.start
        cut = as_float(wave[start : start + self.length])
        return np.pad(cut, (0, self.length - len(cut)))


def sounding_windows(wave: Samples, length: int) -> list[int]:
    """Starts of the windows that are not silent; the loudest one where all are.

    Corpora pad short recordings with digital silence, which belongs to no class.
    """
    starts = window_starts(len(wave), length, length)
    levels = [level_dbfs(as_float(wave[start : start + length])) for start in starts]
    sounding = [start for start, level in zip(starts, levels, strict=True) if level >= NO_SIGNAL_DBFS]
    return sounding or [starts[int(np.argmax(levels))]]


class OnDemand(Sequence[Samples]):
    """The waveforms of clips, read anew whenever one is asked for.

    Args:
        corpus: where they lie.
        clips: which, in order.
        sample_rate: Hz.
    """

    def __init__(self, corpus: Corpus, clips: Sequence[Clip], sample_rate: int) -> None:
        self.corpus, self.clips, self.sample_rate = corpus, clips, sample_rate

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Samples:  # type: ignore[override]
        return self.corpus.read(self.clips[index], self.sample_rate)


class EpochBatches(Sampler[list[int]]):
    """Batches by seed and epoch alone: a resumed run sees the order of an uninterrupted one.

    Batch ``b`` of an epoch holds the same windows in any number of processes, so that a teacher who scored
    it somewhere else has scored the same. An incomplete last batch is left out, unless it is the only one.

    Args:
        dataset: what to shuffle.
        batch_size: windows of a batch.
        rank: number of this process; each takes every ``world``-th batch.
        world: number of processes. What does not divide evenly is left out, or one would wait for another.
    """

    def __init__(self, dataset: ClipWindows, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.dataset, self.size, self.rank, self.world = dataset, batch_size, rank, world

    def __len__(self) -> int:
        return max(len(self.dataset) // self.size, 1) // self.world

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of every epoch, a resumed one too."""
        views = self.dataset.views
        self.dataset.epoch = epoch if views is None else epoch % views

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self.dataset.seed, self.dataset.epoch)).permutation(len(self.dataset))
        for place in range(len(self)):
            begin = (place * self.world + self.rank) * self.size
            yield order[begin : begin + self.size].tolist()


class ClipData(lightning.LightningDataModule):
    """Batches of windows from any corpus.

    Args:
        corpus: where the clips come from.
        batch_size: windows in a training batch.
        jitter: move training windows by up to half a window, newly drawn in every epoch.
        seed: of shuffling and jitter.
        labelled: share of the training recordings of each class whose labels are told; the others are heard
            without, for a teacher to answer for. Which, the seed says.
        only_labelled: leave those others out, to see what their labels alone are worth.
        skip_corrupt: leave clips out that cannot be read, and say how many; otherwise the first one stops.
        in_memory: hold all waveforms, 128 kB a second at 32 kHz; 64 kB where int16 has the samples exactly,
            as of packed corpora and of mono files of 16 bits at that rate. Where they do not fit, pack the
            corpus and switch this off: windows are then read from disk as they are needed.
        sample_rate: Hz; set from the model's front end.
        clip_s: window length in seconds; set from the model.
    """

    def __init__(
        self,
        corpus: Corpus,
        batch_size: int = 32,
        jitter: bool = True,
        seed: int = 0,
        labelled: float = 1.0,
        only_labelled: bool = False,
        skip_corrupt: bool = False,
        in_memory: bool = True,
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
        self.labelled, self.only_labelled = labelled, only_labelled
        self.skip_corrupt, self.in_memory = skip_corrupt, in_memory
        self.corpus, self.batch_size, self.jitter, self.seed = corpus, batch_size, jitter, seed
        self.sample_rate, self.clip_s = sample_rate, clip_s
        self.labels, self.task = corpus.labels, corpus.task
        self.datasets: dict[Split, ClipWindows] = {}
        self._hidden: set[str] = set()  # ids of the training clips whose labels are not told

    def setup(self, stage: str | None = None) -> None:
        """Read the splits that a stage needs into memory, once."""
        clips = dict(self.corpus.splits())
        told, others = hold_out(clips["train"], 1 - self.labelled, self.seed)
        self._hidden = {clip.id for clip in others}
        if self.only_labelled:
            clips["train"] = [clip for clip in told if clip.targets is not None]
        for split in _NEEDED.get(stage or "", SPLITS):
            if split not in self.datasets:
                self.datasets[split] = self._read(split, clips[split])
        for split in _NEEDED.get(stage or "", ())[:1]:
            if not len(self.datasets[split]):
                raise DataError(
                    f"The {split} split holds no clips: name the folds or lists that it is made of."
                )

    def _read(self, split: Split, clips: Sequence[Clip]) -> ClipWindows:
        samples: Sequence[Samples] = OnDemand(self.corpus, clips, self.sample_rate)
        if self.in_memory:
            clips, samples = self._hold(split, samples)
        length = round(self.clip_s * self.sample_rate)
        training = split == "train"
        dataset = ClipWindows(
            clips,
            samples,
            length,
            len(self.labels),
            jitter=self.jitter and training,
            seed=self.seed,
            hidden=self._hidden if training else (),
        )
        padded = sum(n < length for n in dataset.lengths)
        if padded:
            rank_zero_warn(
                f"{padded} clips of {split} are shorter than {self.clip_s} s and were padded with zeros."
            )
        return dataset

    def _hold(self, split: Split, waves: OnDemand) -> tuple[list[Clip], list[Samples]]:
        """Read a split into memory; a clip that cannot be read stops it, or is left out and counted."""
        heard: list[tuple[Clip, Samples]] = []
        for index in tqdm(range(len(waves)), desc=f"reading {split}", unit="clip", disable=None, leave=False):
            try:
                heard.append((waves.clips[index], waves[index]))
            except AudioError as error:
                if not self.skip_corrupt:
                    raise AudioError(
                        f"{error} To train without such clips: --data.skip_corrupt true."
                    ) from error
                rank_zero_warn(f"left out: {error}")
        if len(heard) < len(waves):
            rank_zero_warn(f"{len(waves) - len(heard)} of {len(waves)} clips of {split} were left out.")
        return [clip for clip, _ in heard], [wave for _, wave in heard]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled and jittered anew in every epoch; an incomplete last batch is left out."""
        dataset = self.datasets["train"]
        batches = EpochBatches(dataset, self.batch_size, *self._shard)
        return DataLoader(dataset, batch_size=None, sampler=batches, collate_fn=_as_it_is)

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
        return DataLoader(
            self.datasets[split],
            batch_size=self.batch_size,  # by name: Lightning builds the loader anew to predict
            sampler=self._in_order(split),
            collate_fn=_as_it_is,
        )


def _as_it_is(batch: Batch) -> Batch:
    """What the dataset cut is a batch already."""
    return batch
