"""Reverberation: synthetic impulse responses of rooms, and waveforms convolved with them."""

from __future__ import annotations

import torch
from torch import Tensor

from train.augmentation.impulse_responses import convolve_each
from train.augmentation.random_draws import uniform, uniform_between


def reverberation_responses(
    seconds: Tensor, direct_db: Tensor, sample_rate: int, generator: torch.Generator
) -> Tensor:
    """Impulse responses of rooms: the direct sound, and Gaussian noise that decays exponentially after it.

    The model of Polack ("La transmission de l'energie sonore dans les salles", 1988), that holds for the
    diffuse tail; early reflections are part of the noise.

    Args:
        seconds: [rooms], in which the tail decays by 60 dB (RT60).
        direct_db: [rooms], energy of the direct sound over that of the tail.
        sample_rate: Hz.
        generator: decides the noise.

    Returns:
        [rooms, taps], each of unit energy.
    """
    times = torch.arange(round(float(seconds.max()) * sample_rate)) / sample_rate
    tail = torch.randn((len(seconds), len(times)), generator=generator)
    tail *= 10 ** (-3 * times / seconds[:, None])
    tail[:, 0] = tail.norm(dim=1) * 10 ** (direct_db / 20)
    responses: Tensor = tail / tail.norm(dim=1, keepdim=True)
    return responses


def reverberate_some(
    waveform: Tensor,
    share: float,
    seconds: tuple[float, float],
    direct_db: tuple[float, float],
    sample_rate: int,
    generator: torch.Generator,
) -> Tensor:
    """Add reverberation, each of its own, to a random share of waveforms [batch, samples].

    Args:
        waveform: [batch, samples].
        share: of the waveforms, 0 to 1.
        seconds: least and greatest RT60.
        direct_db: least and greatest energy of the direct sound over that of the tail.
        sample_rate: Hz.
        generator: decides all draws.
    """
    rows = (uniform(len(waveform), generator) < share).nonzero()[:, 0]
    if not len(rows):
        return waveform
    responses = reverberation_responses(
        uniform_between(*seconds, len(rows), generator),
        uniform_between(*direct_db, len(rows), generator),
        sample_rate,
        generator,
    )
    places = rows.to(waveform.device)
    return waveform.index_copy(0, places, convolve_each(waveform[places], responses.to(waveform)))
