"""Recordings of a field recorder, two cards of them, and the command that makes a table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.archive.job import ArchiveJob, FileClassifier
from runtime.archive.result import FileResult
from runtime.cli import classify_archive
from runtime.cli.main import main

Classify = Callable[..., int]
RATE = 8000


@pytest.fixture
def cards(tmp_path: Path, noise: np.ndarray) -> Path:
    """Five recordings of different lengths and levels in two folders; 2.5 to 4.5 s, one of them silent."""
    folder = tmp_path / "cards"
    names = (
        "a/SMM1_20240601_055959.wav",
        "a/SMM1_20240601_220000.wav",
        "b/20240601_060000.WAV",
        "b/take.flac",
    )
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        samples = noise[index * 9000 :][: round((2.5 + index / 2) * RATE)] / (index + 1)
        soundfile.write(folder / name, samples, RATE)
    soundfile.write(folder / "b" / "silence, with comma.wav", np.zeros(2 * RATE), RATE)
    return folder


@pytest.fixture
def classify(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> Classify:
    """Run the command with the tiny model; in this process and without a picture, for speed."""

    def in_this_process(job: ArchiveJob, paths: Sequence[str], processes: int) -> Iterator[FileResult]:
        return map(FileClassifier(job), paths)

    monkeypatch.setattr(classify_archive, "classify_in_processes", in_this_process)
    monkeypatch.setattr(classify_archive, "draw", lambda *_: None)
    return lambda *arguments: main(["classify", "--model", str(model_path), *map(str, arguments)])
