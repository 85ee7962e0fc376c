"""Recordings of ten seconds from ESC-10: ``python -m benchmarks.token_merging.joined_clips DIR``.

Two clips of a class and a fold make one recording; ESC-50 lies in ``ESC10_DIR``. Folds 1 to 3 are for
training, fold 4 is for the test. Writes wav files at 16 kHz and table.csv, which `train.data.Table` reads.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections import defaultdict
from itertools import permutations
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from runtime import entry_point
from runtime.files import make_folder, write_beside
from train.data import ESC50
from train.data.corpus import Clip, Split, read_audio

RATE_HZ = 16_000
_OF_A_CLASS: dict[Split, int] = {"train": 24, "test": 8}  # recordings of a class of a fold
_FOLDS: tuple[tuple[Split, int], ...] = (("train", 1), ("train", 2), ("train", 3), ("test", 4))


def main(arguments: list[str]) -> int:
    """Write the recordings; returns an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.token_merging.joined_clips", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="DIR", help="to write")
    folder: Path = parser.parse_args(arguments).folder
    make_folder(folder)
    rows = [row for split, fold in _FOLDS for row in _fold(folder, split, fold)]
    with write_beside(folder / "table.csv") as partial, partial.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return entry_point.EXIT_OK


def _fold(folder: Path, split: Split, fold: int) -> list[tuple[str, str, str]]:
    """Write the recordings of a fold; returns their rows of the table."""
    corpus = ESC50(esc10=True, train_folds=[fold], val_folds=[], test_folds=[])
    of_class: dict[str, list[Clip]] = defaultdict(list)
    for clip in corpus.clips("train"):
        of_class[corpus.labels[clip.target]].append(clip)
    rows: list[tuple[str, str, str]] = []
    for label, clips in tqdm(of_class.items(), desc=f"fold {fold}", disable=None):
        pairs = list(permutations(clips, 2))
        random.Random(f"{fold} {label}").shuffle(pairs)
        for number, pair in enumerate(pairs[: _OF_A_CLASS[split]]):
            name = f"{fold}_{label}_{number}.wav"
            joined = np.concatenate([read_audio(corpus.path(clip), RATE_HZ) for clip in pair])
            with write_beside(folder / name) as partial:
                soundfile.write(partial, joined, RATE_HZ)
            rows.append((name, label, split))
    return rows


if __name__ == "__main__":
    entry_point.run(main)
