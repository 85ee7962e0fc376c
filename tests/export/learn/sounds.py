"""Folders of tones: a pitch for each class, so that a tiny network learns them in a few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
PITCHES_HZ = {"bell": 1_500, "dog": 300, "pump": 3_000, "none": 6_000}


def write_tone(path: Path, pitch_hz: float, seed: int, seconds: float = 1.0) -> None:
    """A tone whose level and noise differ from file to file."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * pitch_hz * rng.uniform(0.9, 1.1) * time) * np.exp(-time * rng.uniform(0, 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.2 * tone + 0.02 * rng.standard_normal(len(time)), RATE)


def write_sounds(root: Path, count: int, labels: tuple[str, ...] = ("bell", "dog"), start: int = 0) -> Path:
    """Class folders of ``count`` files each."""
    for label in labels:
        for number in range(start, start + count):
            seed = number * 100 + list(PITCHES_HZ).index(label)
            name = f"{chr(97 + number % 26)}{'x' * (number // 26)}.wav"
            write_tone(root / label / name, PITCHES_HZ[label], seed)
    return root
