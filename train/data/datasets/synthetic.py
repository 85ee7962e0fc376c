"""Ten parametric acoustic scenes through coloured recording devices, made on the fly from seeds.

No files, no licence, the same on every machine: for demos, tests and checks of the whole pipeline. The
scenes overlap in spectrum and are mixed with each other at random levels, so that they have to be learnt;
two of the five devices appear only in the test split, as in DCASE Task 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from runtime.errors import DataError
from train.data.corpus import SPLITS, Clip, Corpus, Samples, Split, check_seed

Wave = npt.NDArray[np.float64]
Rng = np.random.Generator

_SHORTEST_S = 0.1  # shorter ones have too few samples for their parts


def _noise(rng: Rng, time: Wave, low: float, high: float, tilt: float = 0.0) -> Wave:
    """Noise of unit RMS within a band in Hz; ``tilt`` is the slope of its amplitude over log frequency."""
    rate = 1 / (time[1] - time[0])
    spectrum = scipy.fft.rfft(rng.standard_normal(len(time)))
    hz = scipy.fft.rfftfreq(len(time), 1 / rate)
    shape = np.where((hz >= low) & (hz <= high), np.maximum(hz, 20.0) ** tilt, 0.0)
    return _unit(scipy.fft.irfft(spectrum * shape, len(time)))


def _unit(wave: Wave) -> Wave:
    unit: Wave = wave / (np.sqrt(np.mean(wave**2)) + 1e-12)
    return unit


def _tone(rng: Rng, time: Wave, hz: Wave, harmonics: int, decay: float) -> Wave:
    """Harmonics over a fundamental that may glide: ``hz`` is its frequency at every sample."""
    phase = 2 * np.pi * np.cumsum(hz) * (time[1] - time[0]) + rng.uniform(0, 2 * np.pi)
    return _unit(np.sum([decay**k * np.sin((k + 1) * phase) for k in range(harmonics)], axis=0))


def _bursts(rng: Rng, time: Wave, starts: Wave, decay_s: float) -> Wave:
    """An envelope that jumps to a random height at every start and dies away."""
    impulses = np.zeros(len(time))
    places = np.searchsorted(time, starts[(starts >= 0) & (starts < time[-1])])
    impulses[places] = rng.uniform(0.4, 1.0, len(places))
    step = np.exp(-(time[1] - time[0]) / decay_s)
    envelope: Wave = scipy.signal.lfilter([1.0], [1.0, -step], impulses)
    return envelope


def _rhythm(rng: Rng, time: Wave, rate_hz: float, sloppiness: float) -> Wave:
    """Times of a beat that begins anywhere and is not quite regular."""
    beats = np.arange(rng.uniform(-1, 0), time[-1] * rate_hz + 1)
    return (beats + rng.normal(0, sloppiness, len(beats))) / rate_hz


def _rain(rng: Rng, time: Wave) -> Wave:
    drops = _bursts(rng, time, rng.uniform(0, time[-1], int(rng.uniform(80, 250) * time[-1])), 0.002)
    return _noise(rng, time, 800, 15_000, -0.3) + rng.uniform(1, 3) * drops * _noise(rng, time, 2_000, 12_000)


def _wind(rng: Rng, time: Wave) -> Wave:
    gust = 1 + 0.8 * np.sin(2 * np.pi * rng.uniform(0.3, 1.2) * time + rng.uniform(0, 7))
    return gust * _noise(rng, time, 30, 1_500, -1.0)


def _traffic(rng: Rng, time: Wave) -> Wave:
    swell = np.exp(-(((time - rng.uniform(0, time[-1])) / rng.uniform(0.3, 1.0)) ** 2))
    engine = _tone(rng, time, np.full(len(time), rng.uniform(45, 90)), 8, 0.75)
    passing: Wave = (0.5 + swell) * (_noise(rng, time, 60, 4_000, -0.7) + rng.uniform(0.3, 0.8) * engine)
    return passing


def _crowd(rng: Rng, time: Wave) -> Wave:
    voices = [
        _noise(rng, time, formant * 0.8, formant * 1.25, -0.3)
        * (1 + np.sin(2 * np.pi * rng.uniform(2.5, 6) * time + rng.uniform(0, 7))) ** 2
        for formant in rng.uniform(250, 2_800, 6)
    ]
    together: Wave = np.sum(voices, axis=0)
    return together


def _siren(rng: Rng, time: Wave) -> Wave:
    sweep = np.sin(2 * np.pi * rng.uniform(0.3, 2.0) * time + rng.uniform(0, 7))
    return _tone(rng, time, rng.uniform(700, 1_100) * 2 ** (rng.uniform(0.3, 0.6) * sweep), 5, 0.5)


def _birds(rng: Rng, time: Wave) -> Wave:
    calls = _bursts(rng, time, _rhythm(rng, time, rng.uniform(3, 9), 0.2), rng.uniform(0.02, 0.05))
    glide = rng.uniform(2_500, 5_500) * (1 + 0.25 * np.sin(2 * np.pi * rng.uniform(8, 20) * time))
    return calls * _tone(rng, time, glide, 2, 0.3)


def _machine(rng: Rng, time: Wave) -> Wave:
    hum = _tone(rng, time, np.full(len(time), rng.choice([50.0, 60.0]) * rng.integers(2, 5)), 12, 0.85)
    stroke = 1 + 0.6 * np.sin(2 * np.pi * rng.uniform(8, 25) * time)
    return stroke * (hum + 0.5 * _noise(rng, time, 300, 6_000, -0.3))


def _train(rng: Rng, time: Wave) -> Wave:
    joints = _rhythm(rng, time, rng.uniform(1.5, 3.0), 0.03)
    clack = _bursts(rng, time, np.concatenate([joints, joints + rng.uniform(0.08, 0.14)]), 0.03)
    return _noise(rng, time, 40, 900, -0.6) + rng.uniform(2, 4) * clack * _noise(rng, time, 300, 3_000)


def _alarm(rng: Rng, time: Wave) -> Wave:
    gate = np.sin(2 * np.pi * rng.uniform(2, 5) * time + rng.uniform(0, 7)) > rng.uniform(-0.3, 0.3)
    return gate * _tone(rng, time, np.full(len(time), rng.uniform(1_800, 3_500)), 3, 0.3)


def _footsteps(rng: Rng, time: Wave) -> Wave:
    steps = _rhythm(rng, time, rng.uniform(1.6, 2.8), 0.05)
    thud = _bursts(rng, time, steps, 0.05) * _noise(rng, time, 50, 500, -0.5)
    return thud + rng.uniform(0.1, 0.5) * _bursts(rng, time, steps + 0.03, 0.02) * _noise(
        rng, time, 1_000, 7_000
    )


SCENES: dict[str, Callable[[Rng, Wave], Wave]] = {
    "rain": _rain,
    "wind": _wind,
    "traffic": _traffic,
    "crowd": _crowd,
    "siren": _siren,
    "birds": _birds,
    "machine": _machine,
    "train": _train,
    "alarm": _alarm,
    "footsteps": _footsteps,
}

# Per device: corner of its low cut and high cut in Hz, peak in dB and its centre in Hz, noise floor in dBFS.
DEVICES = {
    "a": (30, 15_000, 0, 1_000, -75),
    "b": (150, 9_000, 6, 2_500, -60),
    "c": (80, 12_000, -6, 800, -65),
    "s1": (250, 7_000, 8, 1_800, -55),
    "s2": (60, 10_000, -8, 3_500, -58),
}
_SEEN = ("a", "b", "c")
_UNSEEN = ("s1", "s2")


def render(scene: str, seed: Sequence[int], sample_rate: int, seconds: float, device: str = "a") -> Samples:
    """A recording of one scene, int16 [samples].

    Args:
        scene: a key of `SCENES`.
        seed: everything random follows from it.
        sample_rate: Hz.
        seconds: length.
        device: a key of the device table; colours the recording.
    """
    rng = np.random.default_rng([*seed, list(SCENES).index(scene)])
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    other = str(rng.choice([name for name in SCENES if name != scene]))
    wave = _unit(SCENES[scene](rng, time))
    wave += 10 ** (rng.uniform(-18, -3) / 20) * _unit(SCENES[other](rng, time))
    wave += 10 ** (rng.uniform(-15, 2) / 20) * _noise(rng, time, 20, 15_000, -0.5)
    level = 10 ** (rng.uniform(-36, -16) / 20)
    coloured = _record(rng, level * _unit(wave), sample_rate, device)
    return np.clip(np.rint(coloured * 32768), -32768, 32767).astype(np.int16)


def _record(rng: Rng, wave: Wave, sample_rate: int, device: str) -> Wave:
    """A sound as a device records it: its frequency response, then its noise."""
    low, high, peak_db, centre, floor_db = DEVICES[device]
    hz = scipy.fft.rfftfreq(len(wave), 1 / sample_rate)
    octaves = np.log2(np.maximum(hz, 1.0) / centre)
    response = 10 ** (peak_db / 20 * np.exp(-(octaves**2)))
    response /= np.sqrt((1 + (low / np.maximum(hz, 1.0)) ** 4) * (1 + (hz / high) ** 8))
    recorded: Wave = scipy.fft.irfft(scipy.fft.rfft(wave) * response, len(wave))
    return recorded + 10 ** (floor_db / 20) * rng.standard_normal(len(wave))


class Synthetic(Corpus):
    """The ten scenes as a corpus.

    Args:
        train_clips: clips to learn from, over all scenes.
        val_clips: clips to choose the checkpoint by.
        test_clips: clips to report on; two in five come from devices that no training clip comes from.
        seconds: length of a clip.
        seed: another seed gives another corpus.

    Raises:
        DataError: where a number makes no sense.
    """

    device_groups = {"seen": _SEEN, "unseen": _UNSEEN}  # noqa: RUF012 - never changed

    def __init__(
        self,
        train_clips: int = 2000,
        val_clips: int = 300,
        test_clips: int = 500,
        seconds: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.labels = tuple(SCENES)
        self.licence = "synthetic: no rights reserved"
        self.counts: dict[Split, int] = {"train": train_clips, "val": val_clips, "test": test_clips}
        if min(self.counts.values()) < len(SCENES):
            raise DataError(f"Synthetic scenes need at least {len(SCENES)} clips a split, one of each scene.")
        if not _SHORTEST_S <= seconds < math.inf:
            raise DataError(f"data.corpus.seconds is {_SHORTEST_S} or more, not {seconds}.")
        check_seed(seed)
        self.seconds, self.seed = seconds, seed

    def clips(self, split: Split) -> Sequence[Clip]:
        """Scenes and devices in turn, so that every device of the split records every scene."""
        devices = tuple(DEVICES) if split == "test" else _SEEN
        return [
            Clip(
                id=f"{split}-{index}",
                targets=(index % len(SCENES),),
                group=f"{split}-{index}",
                device=devices[index // len(SCENES) % len(devices)],
            )
            for index in range(self.counts[split])
        ]

    def read(self, clip: Clip, sample_rate: int) -> Samples:
        """Render a clip."""
        split, index = clip.id.split("-")
        seed = (self.seed, [str(s) for s in SPLITS].index(split), int(index))
        return render(self.labels[clip.target], seed, sample_rate, self.seconds, clip.device)

    def describe(self) -> dict[str, Any]:
        """Name, sizes and seed."""
        counts: dict[str, int] = dict(self.counts.items())
        return {"corpus": "synthetic scenes", **counts, "seconds": self.seconds, "seed": self.seed}
