"""A run of a tiny student, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

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
