"""Impulse responses of other microphones, and waveforms convolved with them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from runtime.audio.read import read_recording
from runtime.errors import DataError
from train.augmentation.random_draws import uniform

_CHUNK = 4  # waveforms convolved at a time on a CPU: their spectra stay in a core's cache


def convolve_some(
    waveform: Tensor,
    share: float,
    responses: Tensor,
    generator: torch.Generator,
    devices: Sequence[str] | None = None,
    only: Sequence[str] | None = None,
) -> Tensor:
    """`random_impulse` for a random share of waveforms [batch, samples].

    Args:
        waveform: [batch, samples].
        share: of the waveforms, 0 to 1.
        responses: [responses, samples of a response].
        generator: decides all draws.
        devices: name of the device of each waveform.
        only: names of the devices whose waveforms may be convolved; None means all.
    """
    chosen = uniform(len(waveform), generator) < share
    if only is not None and devices is not None:
        chosen &= torch.tensor([device in only for device in devices])
    return random_impulse(waveform, responses, chosen, generator)


def responses_for(
    folder: str | None, sample_rate: int, *, key: str, off: str, exclude: tuple[str, ...] = ()
) -> Tensor:
    """`impulse_responses` of a folder, or of the one that the environment variable ``MIC_IR_DIR`` names.

    Args:
        folder: as the recipe has it.
        sample_rate: Hz.
        key: of the recipe, that names the folder; for the message.
        off: what switches the responses off; for the message.
        exclude: names of files to leave out.

    Raises:
        DataError: where neither names a folder, or the folder has no wav file.
    """
    found = folder or os.environ.get("MIC_IR_DIR")
    if not found:
        raise DataError(
            f"No impulse responses: set MIC_IR_DIR (or {key}) to a folder of wav files, for example of "
            f"http://micirp.blogspot.com, or {off}."
        )
    return impulse_responses(found, sample_rate, exclude)


@lru_cache(maxsize=4)
def impulse_responses(folder: str, sample_rate: int, exclude: tuple[str, ...] = ()) -> Tensor:
    """The responses of a folder of wav files, each of unit energy: float32 [files, samples], zero-padded.

    Files named in ``exclude`` are left out.

    Unit energy preserves the level of white noise, so that loudness does not identify the microphone.

    Raises:
        DataError: where the folder has no wav file.
        AudioError: where one of them cannot be read.
    """
    paths = sorted(path for path in Path(folder).glob("*.wav") if path.name not in exclude)
    if not paths:
        raise DataError(f"{folder} contains no wav file of an impulse response: name another folder.")
    waves = [read_recording(path, sample_rate).samples for path in paths]
    responses = np.zeros((len(waves), max(map(len, waves))), np.float32)
    for row, wave in zip(responses, waves, strict=True):
        row[: len(wave)] = wave / max(float(np.linalg.norm(wave)), 1e-12)
    return torch.from_numpy(responses)


def random_impulse(waveform: Tensor, responses: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """Convolve the chosen waveforms with a random response each, by FFT.

    Args:
        waveform: [batch, samples].
        responses: [responses, samples of a response].
        chosen: bool [batch].
        generator: decides which response.

    Returns:
        [batch, samples]; the tail after the end is cut off, and the response's peak is taken as time 0, so
        that the waveform is not delayed.
    """
    drawn = responses[torch.randint(len(responses), (len(waveform),), generator=generator)]
    rows = chosen.nonzero()[:, 0]
    if not len(rows):
        return waveform
    parts = torch.split(rows, _CHUNK if waveform.device.type == "cpu" else len(rows))
    device = waveform.device
    convolved = [convolve_each(waveform[part.to(device)], drawn[part].to(waveform)) for part in parts]
    return waveform.index_copy(0, rows.to(waveform.device), torch.cat(convolved))


def convolve_each(waveform: Tensor, responses: Tensor) -> Tensor:
    """Each waveform [batch, samples] with its response [batch, taps], the response's peak at zero."""
    samples, taps = waveform.shape[1], responses.shape[1]
    length = next_fast_len(samples + taps - 1, real=True)
    spectrum = torch.fft.rfft(waveform, length) * torch.fft.rfft(responses, length)
    places = responses.abs().argmax(dim=1, keepdim=True) + torch.arange(samples, device=waveform.device)
    convolved: Tensor = torch.fft.irfft(spectrum, length).gather(1, places)
    return convolved
