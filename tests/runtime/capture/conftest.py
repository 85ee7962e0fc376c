"""A scene that the tiny model finds three events in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 32_000


def band(low: float, high: float, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    """Noise between two frequencies, at -20 dBFS."""
    white = np.random.default_rng(5).normal(size=round(seconds * rate))
    spectrum, hz = np.fft.rfft(white), np.fft.rfftfreq(len(white), 1 / rate)
    noise = np.fft.irfft(spectrum * ((hz > low) & (hz < high)), len(white))
    return 0.1 * noise / noise.std()


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Hum, dog and rain, 2 s of each, between pauses of 1.5 s: at 1.5, 5 and 8.5 s."""
    still = 1e-5 * np.random.default_rng(1).normal(size=48_000)
    parts = [still]
    for low, high in ((50, 700), (1100, 2600), (9000, 15_000)):
        parts += [band(low, high), still]
    path = tmp_path / "scene.wav"
    soundfile.write(path, np.concatenate(parts), RATE, subtype="PCM_16")
    return path
