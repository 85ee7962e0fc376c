"""A run of a tiny student, made once."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from train.data.datasets.synthetic import render

# The smallest job that has everything: three epochs of a tiny student on a handful of scenes.
TINY = [
    "--model.arguments={base_channels: 8, channels_multiplier: 1.0, expansion_rate: 1.0, n_blocks: [1]}",
    "--data.corpus=train.data.Synthetic",
    "--data.corpus.train_clips=40",
    "--data.corpus.val_clips=10",
    "--data.corpus.test_clips=20",
    "--data.batch_size=20",
    "--model.augmentation={jitter_hz: 200, mask_mels: 8, mask_frames: 4, noise_snr_db: [10, 30]}",
    "--trainer.max_epochs=3",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
]


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, run_room) -> Path:
    """The folder of a finished ``fit``, ``test`` and ``predict``."""
    root = tmp_path_factory.mktemp("tiny")
    for verb in ("fit", "test", "predict"):
        done = run_room("train", verb, *TINY, f"--trainer.default_root_dir={root}")
        assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="session")
def tagged(tmp_path_factory) -> Path:
    """A table of forty clips, each of one scene or of two mixed; nobody has listened to the last four."""
    root = tmp_path_factory.mktemp("tagged")
    labels, rows = ("alarm", "rain", "siren"), []
    members = [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2)]
    for index in range(40):
        names = [labels[i] for i in members[index % len(members)]]
        parts = [render(name, (7, index), 32_000, 1.0).astype(float) for name in names]
        soundfile.write(root / f"{index}.wav", np.mean(parts, axis=0) / 32768, 32_000)
        split = "test" if index % 4 == 0 else "val" if index % 4 == 1 else "train"
        rows.append((f"{index}.wav", ";".join(names) if index < 36 else "", split, "ab"[index % 2]))
    with (root / "tags.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("filename", "labels", "split", "device"), *rows])
    return root / "tags.csv"
