"""Synthetic textures: sounds between and beyond those of a corpus, for a teacher to label.

A student that imitates its teacher on a few recordings departs from it on others, above all where sounds are
made of noise: of 400 textures, a student of ESC-10 and its teacher had the same label for half, and where the
teacher was unsure the student was not (`python -m benchmarks.box_model.teacher_agreement`). Distillation
needs inputs of many kinds, whatever they are (Beyer et al., "Knowledge distillation: a good teacher is
patient and consistent", CVPR 2022).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.signal

Sound = npt.NDArray[np.float64]
Random = np.random.Generator
SECONDS = 5
_STREAM = 77  # keeps these random numbers apart from others of the same number
_PEAK = 0.5
_SUMS = 0.3  # share of the textures that are a sum of two
_HIGHEST = 0.47  # frequency of a filter, of the sample rate


def synthetic_texture(number: int, sample_rate: int) -> npt.NDArray[np.int16]:
    """Noise in pulses, showers of short sounds, swelling noise, an engine's tones, or noise; or a sum of two.

    Args:
        number: decides all of it.
        sample_rate: Hz.

    Returns:
        int16 [5 s], peak 16,384.
    """
    random = np.random.default_rng((_STREAM, number))
    sound = _KINDS[number % len(_KINDS)](random, sample_rate)
    if random.random() < _SUMS:
        other = _KINDS[int(random.integers(len(_KINDS)))](random, sample_rate)
        sound = sound / sound.std() + 10 ** random.uniform(-1, 0.3) * other / other.std()
    return np.asarray(np.rint(_PEAK * 2**15 * sound / np.abs(sound).max()), np.int16)


def _pulses(random: Random, rate: int) -> Sound:
    """5 to 35 pulses of noise a second, most with a low tone, as rotors make them."""
    turns = np.cumsum(_between(random, 5, 35) * _drift(random, rate, 1, 0.03)) / rate
    pulse = np.exp(random.uniform(1, 12) * (np.cos(2 * np.pi * turns) - 1))
    pulse += random.uniform(0, 0.6)
    sound = _noise(random, rate) * pulse
    if random.random() < 0.7:
        thump = np.sin(2 * np.pi * turns * random.integers(2, 9)) * pulse
        sound = sound / sound.std() + random.uniform(0.2, 2) * thump / thump.std()
    return sound * _drift(random, rate, 0.7, 0.3)


def _showers(random: Random, rate: int) -> Sound:
    """2 to 3,000 short sounds a second over noise, as drops, crackles and steps."""
    samples = SECONDS * rate
    count = max(int(random.poisson(_between(random, 2, 3_000) * SECONDS)), 1)
    places = random.integers(0, samples, count)
    impulses = np.zeros(samples)
    np.add.at(impulses, places, random.normal(size=count) * np.exp(random.normal(size=count)))
    decay = _between(random, 0.0005, 0.03) * rate
    time = np.arange(int(6 * decay) + 8)
    if random.random() < 0.5:
        short = random.normal(size=len(time))
    else:
        short = np.cos(2 * np.pi * min(_between(random, 300, 7_000) / rate, _HIGHEST) * time)
    shower = scipy.signal.fftconvolve(impulses, np.exp(-time / decay) * short)[:samples]
    level = 10 ** random.uniform(-2, 0.3)
    noise = level * _noise(random, rate) * _drift(random, rate, 1, 0.3)
    return np.asarray(shower / shower.std() + noise)


def _waves(random: Random, rate: int) -> Sound:
    """Noise that swells, once in 0.7 to 10 seconds, as surf and wind do."""
    speed, time = random.uniform(0.1, 1.5), np.arange(SECONDS * rate) / rate
    swelling = 1 + np.sin(2 * np.pi * speed * time + random.uniform(0, 6))
    envelope = swelling ** random.uniform(0.5, 2) + 0.1
    return _noise(random, rate) * envelope * _drift(random, rate, 2, 0.2)


def _engine(random: Random, rate: int) -> Sound:
    """Harmonics of 20 to 220 Hz, unsteady, some distorted, with noise in their rhythm."""
    pitch = _between(random, 20, 220)
    drift = _drift(random, rate, random.uniform(0.5, 6), random.uniform(0.01, 0.15))
    turns = np.cumsum(pitch * drift) / rate
    tone = np.zeros(SECONDS * rate)
    for harmonic in range(1, int(random.integers(8, 40))):
        level = random.normal() * harmonic ** -random.uniform(0.3, 1.5)
        tone += level * np.sin(2 * np.pi * harmonic * turns + random.uniform(0, 6))
    level = 10 ** random.uniform(-1.5, 0.3)
    noise = level * _noise(random, rate)
    rhythm = 1 + random.uniform(0, 1) * np.sign(np.sin(2 * np.pi * turns))
    sound = tone / tone.std() + noise * rhythm
    if random.random() < 0.4:
        sound = np.tanh(sound * random.uniform(1, 5))
    return np.asarray(sound * _drift(random, rate, 3, 0.2))


def _steady(random: Random, rate: int) -> Sound:
    return _noise(random, rate) * _drift(random, rate, 2, 0.2)


_KINDS: tuple[Callable[[Random, int], Sound], ...] = (_pulses, _showers, _waves, _engine, _steady)


def _noise(random: Random, rate: int) -> Sound:
    """Noise of any colour, most of it in a band, with up to three resonances; its root mean square is 1."""
    slope, samples = random.uniform(-2, 0.5), SECONDS * rate
    frequency = np.fft.rfftfreq(samples, 1 / rate)
    frequency[0] = frequency[1]
    spectrum = random.normal(size=len(frequency)) + 1j * random.normal(size=len(frequency))
    noise = np.fft.irfft(spectrum * (frequency / 1_000) ** slope, samples)
    low, high = _between(random, 20, 2_000), min(_between(random, 1_500, 15_000), _HIGHEST * rate)
    if random.random() < 0.6:
        band = scipy.signal.butter(2, [min(low, 0.7 * high), high], "bandpass", fs=rate, output="sos")
        noise = scipy.signal.sosfilt(band, noise)
    for _ in range(int(random.integers(0, 4))):
        resonance = min(_between(random, 60, 8_000), _HIGHEST * rate)
        filter_ = scipy.signal.iirpeak(resonance, random.uniform(1, 12), fs=rate)
        noise = noise + random.uniform(0.5, 4) * scipy.signal.lfilter(*filter_, noise)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))


def _between(random: Random, low: float, high: float) -> float:
    """A number between two, evenly on a scale of logarithms."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _drift(random: Random, rate: int, changes: float, amount: float) -> Sound:
    """1 and random changes [5 s] of this standard deviation, so many a second."""
    points = random.normal(size=max(int(SECONDS * changes) + 2, 3))
    time = np.arange(SECONDS * rate) / rate
    return np.asarray(1 + amount * np.interp(time, np.linspace(0, SECONDS, len(points)), points))
