"""What rooms, microphones and codecs do to a window, each at a stated strength.

The conditions are those of `train.augmentation.capture`, except for the band limit, which is soxr's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import soxr
import torch

from train.augmentation.capture import NOISES, add_noise, mu_law
from train.augmentation.impulse_responses import impulse_responses, random_impulse
from train.augmentation.random_draws import generator_for
from train.augmentation.reverberation import reverberation_responses

Condition = Callable[[torch.Tensor, int], torch.Tensor]  # [batch, samples] and their rate -> the same shape

_SEED = 0  # of noise, reverberation and the choice of microphones
_REVERBERATION_S = 0.4
GAINS_DB = (-40, -30, -20, -10, 0, 10, 20)
SNRS_DB = (5, 10, 15, 20, 30)
RATES_HZ = (8_000, 11_025, 16_000)


def gain(decibels: float) -> Condition:
    """A change of level; what exceeds full scale is clipped."""
    return lambda x, _: (x * 10 ** (decibels / 20)).clamp(-1, 1)


def noise(kind: str, snr_db: float) -> Condition:
    """Noise of a kind at a ratio to the window's own level."""

    def apply(x: torch.Tensor, rate: int) -> torch.Tensor:
        added = NOISES[kind]((len(x), x.shape[1]), rate, generator_for(_SEED), x.device)
        return add_noise(x, added, torch.full((len(x),), snr_db)).clamp(-1, 1)

    return apply


def band(rate_hz: int) -> Condition:
    """A device of a lower sample rate: resampled down and up again by soxr, not as training does it."""

    def apply(x: torch.Tensor, rate: int) -> torch.Tensor:
        down = soxr.resample(x.T.numpy(), rate, rate_hz)
        up = soxr.resample(down, rate_hz, rate)[: x.shape[1]]
        padded = np.pad(up, ((0, x.shape[1] - len(up)), (0, 0)))
        return torch.from_numpy(np.ascontiguousarray(padded.T, np.float32))

    return apply


def reverberation(seconds: float) -> Condition:
    """A room: exponentially decaying noise, 60 dB in ``seconds``, with the direct sound in front."""

    def apply(x: torch.Tensor, rate: int) -> torch.Tensor:
        as_loud = torch.zeros(1)  # as much direct sound as reverberation
        response = reverberation_responses(torch.tensor([seconds]), as_loud, rate, generator_for(_SEED))
        return _convolved(x, response)

    return apply


def microphones(folder: str, exclude: tuple[str, ...]) -> Condition:
    """The impulse responses of other microphones, one drawn for each window."""

    def apply(x: torch.Tensor, rate: int) -> torch.Tensor:
        return _convolved(x, impulse_responses(folder, rate, exclude))

    return apply


def _convolved(x: torch.Tensor, responses: torch.Tensor) -> torch.Tensor:
    """Every window convolved with one of the responses [n, taps], and clipped."""
    chosen = torch.ones(len(x), dtype=torch.bool)
    return random_impulse(x, responses, chosen, generator_for(_SEED)).clamp(-1, 1)


def conditions(folder: str | None, exclude: tuple[str, ...]) -> dict[str, Condition]:
    """All conditions by name; those of microphones where there is a folder of responses."""
    found: dict[str, Condition] = {"clean": lambda x, _: x}
    found |= {f"level {g:+d} dB": gain(g) for g in GAINS_DB if g}
    found |= {f"{kind} noise {snr} dB": noise(kind, snr) for kind in NOISES for snr in SNRS_DB}
    found |= {f"{rate / 1000:g} kHz device": band(rate) for rate in RATES_HZ}
    found["mu-law"] = lambda x, _: mu_law(x)
    found[f"reverberation {_REVERBERATION_S:g} s"] = reverberation(_REVERBERATION_S)
    if folder:
        found["other microphones"] = microphones(folder, exclude)
    return found
