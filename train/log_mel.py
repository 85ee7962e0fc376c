"""`runtime.audio.log_mel` in torch: the same window and mel filter bank, batched and on any device."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from runtime.audio.mel_filter_bank import analysis_window, mel_filter_bank
from runtime.spec import FrontEndSpec

_CHUNK = 2  # clips on a CPU: their frames and spectra stay in a core's cache, which is worth a factor of two
_BAND = 32  # mels whose filters are multiplied together; they are zero outside of a few bins


class LogMel(nn.Module):
    """Waveform to log-mel. Its buffers come from the spec and stay out of checkpoints.

    Args:
        spec: the front end.
    """

    window: Tensor
    mel: Tensor

    def __init__(self, spec: FrontEndSpec) -> None:
        super().__init__()
        self.spec = spec
        for name, array in (("window", analysis_window(spec)), ("mel", mel_filter_bank(spec))):
            self.register_buffer(name, torch.from_numpy(array.astype(np.float32)), persistent=False)
        self._bins = [_nonzero(filters) for filters in torch.split(self.mel, _BAND)]

    @property
    def silence(self) -> float:
        """The log-mel of no energy at all."""
        return (math.log(self.spec.log_offset) - self.spec.mean) / self.spec.std

    def forward(self, waveform: Tensor) -> Tensor:
        """[batch, samples] at the spec's sample rate -> [batch, 1, n_mels, frames]."""
        with torch.autocast("cuda", enabled=False):
            x = waveform.float()
            chunk = _CHUNK if x.device.type == "cpu" else len(x)
            mel = torch.cat([self._mel(part) for part in torch.split(x, max(chunk, 1))])
            log_mel = torch.log(mel + self.spec.log_offset)
            return ((log_mel - self.spec.mean) / self.spec.std).unsqueeze(1)

    def _mel(self, x: Tensor) -> Tensor:
        """[batch, samples] -> energy in every mel band [batch, n_mels, frames]."""
        if self.spec.preemphasis:
            x = x[:, 1:] - self.spec.preemphasis * x[:, :-1]
        spectrum = torch.stft(
            x, self.spec.n_fft, self.spec.hop_length, self.spec.win_length, self.window,
            center=self.spec.center, pad_mode=self.spec.pad_mode, return_complex=True,
        )  # fmt: skip
        power = spectrum.real.square() + spectrum.imag.square()
        if self.spec.power == 1.0:
            power = power.sqrt()
        parts = zip(torch.split(self.mel, _BAND), self._bins, strict=True)
        return torch.cat([filters[:, bins] @ power[:, bins] for filters, bins in parts], dim=1)


def _nonzero(filters: Tensor) -> slice:
    """The bins in which any of the filters [mels, bins] is not zero."""
    bins = filters.any(dim=0).nonzero()
    return slice(int(bins[0]), int(bins[-1]) + 1) if len(bins) else slice(0, 1)
