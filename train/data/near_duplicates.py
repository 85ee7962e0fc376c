"""Near-duplicates: one recording that was gained, shifted by up to 100 ms, trimmed or encoded anew.

Two steps. Fingerprints find candidates: the log energies of 24 stretches of time in 16 bands, less the mean
of each band and of each stretch, so that level, microphone and envelope do not count. One is of the whole
clip, one of the second around its loudest moment, which moves with the sound where a clip is shifted or
trimmed. Then the waveforms are correlated with their spectra flattened: two voiced words of one pitch
correlate by 0.9 through their strongest harmonic alone, flattened by no more than two thirds.

Measured with clips of one half to five seconds (Free Spoken Digit Dataset, 8 kHz, 3,000 clips; ESC-10 at
16 kHz, 320 clips): of the 12,000 pairs of distinct spoken digits that are most alike, none reaches 0.66 and
`SAME` is 0.75; of ESC-10's, one pair of two uploads of one fire has 0.97 and no other more than 0.52. Of
copies, see tests/train/data/test_near_duplicates.py. Copies that were clipped by 20 dB are missed, as are
excerpts of another length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage
from tqdm import tqdm

CANDIDATE = 0.65  # cosine of fingerprints from which the waveforms are correlated
SAME = 0.75  # correlation of flattened waveforms from which two clips are the same sound

_TIMES, _BANDS = 24, 16
_LOW_HZ, _HIGH_HZ = 150.0, 3_600.0  # what the worst codec keeps
_STRETCH_S = 0.2  # shortest: ten times the shift that a fingerprint tolerates
_AROUND_S, _BEFORE = 1.0, 0.4  # length of the excerpt around the loudest moment, and the share before it
_LOUD_S = 0.1  # over which loudness is averaged
_FLAT_HZ = 300.0  # over which a spectrum is flattened: several harmonics of a voice
_FLAT_FLOOR = 1e-2  # of the mean power: 20 dB down begins what codecs make up
_BLOCK = 2_048  # clips on either side of a matrix product: 16 MB
_NEIGHBOURS = 3  # candidates that are correlated for each clip and kind of fingerprint

Array = npt.NDArray[Any]
Int16 = npt.NDArray[np.int16]


def fingerprints(samples: Int16, sample_rate: int) -> Array:
    """float16 [2, 384]: of the whole clip and of its loudest second, each of unit length.

    Zeros for a clip in which nothing changes.
    """
    excerpt = _loudest(samples.astype(np.float32), sample_rate)
    return np.stack([fingerprint(samples, sample_rate), fingerprint(excerpt, sample_rate)])


def fingerprint(samples: Array, sample_rate: int) -> Array:
    """float16 [384] of unit length, or zeros for a clip in which nothing changes."""
    spacing = len(samples) / _TIMES
    length = round(max(_STRETCH_S * sample_rate, 2 * spacing))
    wave = np.pad(samples.astype(np.float32), length // 2 + 1)
    starts = np.round((np.arange(_TIMES) + 0.5) * spacing).astype(int)
    stretches = np.stack([wave[start : start + length] for start in starts])
    power = np.abs(scipy.fft.rfft(stretches * np.hanning(length).astype(np.float32), axis=1)) ** 2
    edges = np.geomspace(_LOW_HZ, min(_HIGH_HZ, 0.45 * sample_rate), _BANDS + 1)
    bins = np.round(edges * length / sample_rate).astype(int)
    sums = np.pad(power.cumsum(axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    energy = (sums[:, bins[1:]] - sums[:, bins[:-1]]) / np.maximum(np.diff(bins), 1)
    log_energy = np.log(energy + 1e-3 * energy.mean() + 1e-9)  # 30 dB down begins what codecs make up
    log_energy -= log_energy.mean(axis=0)
    log_energy -= log_energy.mean(axis=1, keepdims=True)
    norm = float(np.linalg.norm(log_energy))
    return (log_energy.ravel() / norm if norm > 1e-3 else np.zeros(log_energy.size)).astype(np.float16)


def _loudest(wave: Array, sample_rate: int) -> Array:
    """The second around the loudest moment of a clip, with zeros where the clip does not reach."""
    size = scipy.fft.next_fast_len(len(wave), real=True)
    spectrum, _ = _in_band(wave, size, sample_rate)
    power = np.square(scipy.fft.irfft(spectrum, size)[: len(wave)])
    loudness = scipy.ndimage.uniform_filter1d(power, max(round(_LOUD_S * sample_rate), 1), mode="constant")
    length = round(_AROUND_S * sample_rate)
    before = round(_BEFORE * length)
    padded = np.pad(wave, length)
    start = length + int(loudness.argmax()) - before
    return padded[start : start + length]


def candidates(prints: Sequence[Array], groups: Sequence[str]) -> npt.NDArray[np.int64]:
    """Pairs of clips of different groups that may be the same sound: the nearest few before each clip.

    Args:
        prints: `fingerprints` of each clip.
        groups: of each clip; clips of one recording may well be alike.

    Returns:
        Positions [pairs, 2], the earlier clip first. Clips that are all the same are a chain of such pairs.
    """
    if not len(prints):
        return np.zeros((0, 2), np.int64)
    kinds = np.array(prints, np.float16).swapaxes(0, 1)
    owner = np.unique(np.array(groups), return_inverse=True)[1]
    blocks = -(-len(owner) // _BLOCK)
    total = len(kinds) * blocks * (blocks + 1) // 2
    with tqdm(total=total, desc="comparing", unit="block", disable=None) as bar:
        found = [_candidates_of(every, owner, bar) for every in kinds]
    return np.unique(np.concatenate(found), axis=0)


def _candidates_of(every: Array, owner: Array, bar: Any) -> Array:
    """As `candidates`, by one kind of fingerprint [clips, 384]."""
    found = []
    for row in range(0, len(every), _BLOCK):
        ones, near = every[row : row + _BLOCK].astype(np.float32), []
        for column in range(0, row + 1, _BLOCK):
            cosine = ones @ every[column : column + _BLOCK].astype(np.float32).T
            places = np.flatnonzero(cosine >= CANDIDATE)  # few: what follows costs next to nothing
            one, other = np.divmod(places, cosine.shape[1]) + np.array([[row], [column]])
            apart = (owner[one] != owner[other]) & (other < one)
            near.append(_nearest(one[apart], other[apart], cosine.ravel()[places[apart]]))
            bar.update()
        one, other, _ = _nearest(*(np.concatenate(columns) for columns in zip(*near, strict=True)))
        found.append(np.stack([other, one], axis=1))
    return np.concatenate(found)


def _nearest(one: Array, other: Array, cosine: Array) -> tuple[Array, Array, Array]:
    """Of pairs, those of the greatest cosines for each ``one``."""
    order = np.lexsort((-cosine, one))
    ranked = one[order]
    order = order[np.arange(len(order)) - np.searchsorted(ranked, ranked) < _NEIGHBOURS]
    return one[order], other[order], cosine[order]


def correlation(one: Int16, other: Int16, sample_rate: int) -> float:
    """The greatest correlation of two waveforms over all shifts, 0 to 1, their spectra flattened."""
    size = scipy.fft.next_fast_len(len(one) + len(other), real=True)
    spectra = [_flattened(wave.astype(np.float32), size, sample_rate) for wave in (one, other)]
    product = np.abs(scipy.fft.irfft(spectra[0] * spectra[1].conj(), size)).max()
    energies = [2 * np.square(np.abs(spectrum)).sum() / size for spectrum in spectra]  # Parseval; no DC
    return float(product / max(np.sqrt(energies[0] * energies[1]), 1e-9))


def _flattened(wave: Array, size: int, sample_rate: int) -> Array:
    """A spectrum, zero outside of the band, each bin divided by the RMS of those around it."""
    spectrum, inside = _in_band(wave, size, sample_rate)
    power = np.square(np.abs(spectrum))
    width = max(round(_FLAT_HZ * size / sample_rate), 1)
    floor = _FLAT_FLOOR * power.sum() / max(inside.sum(), 1) + 1e-9
    flat: Array = inside * spectrum / np.sqrt(scipy.ndimage.uniform_filter1d(power, width) + floor)
    return flat


def _in_band(wave: Array, size: int, sample_rate: int) -> tuple[Array, Array]:
    """The spectrum of a waveform within the band of the fingerprint, and which bins that is."""
    hz = scipy.fft.rfftfreq(size, 1 / sample_rate)
    inside = (hz >= _LOW_HZ) & (hz <= _HIGH_HZ)
    return scipy.fft.rfft(wave, size) * inside, inside
