"""The same seed gives the same batches, however they are loaded."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from runtime.errors import AudioError, DataError
from train.data import Batch, ClipData, Packed, Synthetic
from train.data.data_module import OnDemand
from train.data.packing import pack
from train.data.windows import ClipWindows

RATE = 8_000
Seen = list[tuple[int, int, str]]


class Recorder(lightning.LightningModule):
    """Notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = torch.nn.Linear(1, 1), []

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        digest = hashlib.sha256()
        for tensor in batch[:5]:
            digest.update(tensor.numpy().tobytes())
        self.seen.append((self.current_epoch, batch.epoch, digest.hexdigest()))
        return self.layer(torch.ones(1)).sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.seen.append((self.current_epoch, -1, hashlib.sha256(batch.waveform.numpy()).hexdigest()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 1e-3)


def fit(root: Path, data: ClipData, epochs: int, ckpt_path: str | None = None) -> Seen:
    saved = ModelCheckpoint(root, "last", enable_version_counter=False)
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, callbacks=[saved],
        enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False,
    )  # fmt: skip
    model = Recorder()
    trainer.fit(model, datamodule=data, ckpt_path=ckpt_path)
    return model.seen


def clip_data(**options) -> ClipData:
    corpus = Synthetic(train_clips=24, val_clips=10, test_clips=10, seconds=0.3)
    return ClipData(corpus, batch_size=10, sample_rate=RATE, clip_s=0.1, **options)


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> Seen:
    """Three epochs, loaded by the process that trains."""
    seen = fit(tmp_path_factory.mktemp("expected"), clip_data(), 3)
    assert {epoch for epoch, _, _ in seen} == {0, 1, 2} and len(set(seen)) == len(seen)
    assert all(epoch == given for epoch, given, _ in seen if given >= 0)
    return seen


@pytest.mark.parametrize("persistent", [False, True])
def test_worker_processes_give_the_same_batches(tmp_path, expected, persistent):
    assert fit(tmp_path, clip_data(num_workers=2, persistent_workers=persistent), 3) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_sees_the_batches_of_an_uninterrupted_one(tmp_path, expected, workers):
    options = {"num_workers": workers, "persistent_workers": workers > 0}
    before = fit(tmp_path, clip_data(**options), 1)
    after = fit(tmp_path, clip_data(**options), 3, ckpt_path=str(tmp_path / "last.ckpt"))
    assert before + after == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_repeat_after_the_views_of_a_store(tmp_path, expected, workers):
    data = clip_data(num_workers=workers)
    data.views = 2
    seen = fit(tmp_path, data, 3)
    given = [[key for key, _ in itertools.groupby(epoch for _, epoch, _ in seen if epoch >= 0)]]
    assert given == [[0, 1, 0]]
    first = [digest for epoch, view, digest in expected if epoch == 0 and view == 0]
    assert [digest for epoch, view, digest in seen if epoch == 2 and view == 0] == first


class Damaged(Synthetic):
    """A corpus whose last clip cannot be read."""

    def read(self, clip, sample_rate):
        if clip.id == "train-23":
            raise AudioError("train-23 is damaged: leave it out.")
        return super().read(clip, sample_rate)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_is_the_sentence_that_it_was(tmp_path, workers):
    corpus = Damaged(train_clips=24, val_clips=10, test_clips=10, seconds=0.3)
    data = ClipData(corpus, batch_size=10, sample_rate=RATE, clip_s=0.1, num_workers=workers, in_memory=False)
    data.setup = lambda stage=None: None  # which would read every clip itself
    whole = Synthetic(train_clips=24, val_clips=10, test_clips=10, seconds=0.3)
    clips = corpus.clips("train")
    data.datasets["train"] = ClipWindows(
        clips, [whole.read(clip, RATE) for clip in clips], 800, len(data.labels)
    )
    data.datasets["train"].samples = OnDemand(corpus, clips, RATE)
    with pytest.raises(AudioError) as raised:
        list(data.train_dataloader())
    assert str(raised.value) == "train-23 is damaged: leave it out."


def test_workers_read_a_packed_corpus_from_disk(tmp_path, expected):
    corpus = Synthetic(train_clips=24, val_clips=10, test_clips=10, seconds=0.3)
    pack(corpus, RATE, tmp_path / "x.h5")
    packed = Packed(str(tmp_path / "x.h5"))
    packed.read(packed.clips("train")[0], RATE)  # open in this process before the workers are forked
    data = ClipData(
        packed, batch_size=10, sample_rate=RATE, clip_s=0.1, in_memory=False, num_workers=2
    )  # fmt: skip
    assert fit(tmp_path, data, 3) == expected


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"batch_size": 0}, "data.batch_size"),
        ({"batch_size": -1}, "data.batch_size"),
        ({"num_workers": -1}, "data.num_workers"),
    ],
)
def test_options_that_cannot_be_are_named(options, key):
    with pytest.raises(DataError, match=key):
        ClipData(Synthetic(), **options)
