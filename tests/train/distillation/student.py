"""A tiny student, its data, and stores of random logits, for the tests of distillation."""

from __future__ import annotations

import lightning
import numpy as np
import torch

from tests.train.conftest import TINY
from train.augmentation.config import Augmentation
from train.data import ClipData, Synthetic
from train.distillation import logit_store
from train.distillation.logit_store import UNAUGMENTED, Header, Rows
from train.distillation.teachers import Teacher
from train.training.lightning_module import Classifier

SMALL = {"base_channels": 8, "channels_multiplier": 1.0, "expansion_rate": 1.0, "n_blocks": [1]}
EVERYTHING = Augmentation(
    roll_s=0.1, noise_snr_db=(10, 30), jitter_hz=200, mask_mels=8, mask_frames=4, freq_mixstyle_p=0.5
)
RECIPE = [word for word in TINY if not word.startswith("--trainer")]


def make_data(**options):
    corpus = Synthetic(train_clips=40, val_clips=10, test_clips=10, seconds=1.5)
    return ClipData(corpus, **{"batch_size": 10, "seed": 3, **options})


def make_student(data, kind=Classifier, **options):
    return kind(
        labels=data.labels, seed=3, **{"arguments": SMALL, "augmentation": EVERYTHING, **options}
    )  # fmt: skip


def fit(student, data, epochs):
    torch.manual_seed(0)
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, limit_val_batches=0,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(student, data)


class RecordingTeacher(Teacher):
    """A teacher that records the log-mels of the views that it is shown."""

    task = "single_label"

    def __init__(self, labels):
        self.labels, self.seen = labels, []

    def logits(self, batch):
        self.seen.append(batch.log_mel.clone())
        return batch.log_mel.mean(dim=(1, 2, 3))[:, None] * torch.linspace(-1, 1, len(self.labels))

    def describe(self):
        return {"teacher": "recording"}


class RecordingStudent(Classifier):
    """A student that records its inputs."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seen = []

    def _network(self, log_mel):
        self.seen.append(log_mel.clone())
        return super()._network(log_mel)


def write_store(path, ids=None, **changes):
    """Write a store of random unaugmented logits for forty training clips; ``changes`` are to its header."""
    ids = ids or [f"train-{i}" for i in range(40)]
    clips = np.arange(len(ids))
    fields = {"labels": tuple(Synthetic().labels), "task": "single_label", "sample_rate": 32_000}
    header = Header(**{**fields, "window": 32_000, **changes})
    logits = torch.randn(len(ids), len(header.labels))
    rows = Rows.of(clips, clips * 0, UNAUGMENTED, -1, logits, None, "single_label")
    logit_store.write(path, header, ids, rows)
    return path
