"""`runtime.audio.log_mel` in torch: the same window and mel filter bank, batched and on any device."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runtime.audio.log_mel import padded_value, top_range
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
            if self.spec.clip_mean:
                x = x - x.double().mean(dim=1, keepdim=True).float()
            mel = torch.cat([self._mel(part) for part in torch.split(x, max(chunk, 1))])
            floor = self.spec.log_mode == "floor"
            log_mel = torch.log(mel.clamp_min(self.spec.log_offset) if floor else mel + self.spec.log_offset)
            log_mel = (log_mel - self.spec.mean) / self.spec.std
            return self._of_whole_clip(log_mel).unsqueeze(1)

    def _of_whole_clip(self, log_mel: Tensor) -> Tensor:
        """As in `runtime.audio.log_mel`: the floor below each clip's maximum, then a fixed length."""
        if self.spec.top_db:
            lowest = log_mel.amax(dim=(1, 2), keepdim=True) - top_range(self.spec)
            log_mel = torch.maximum(log_mel, lowest)
        if not self.spec.fixed_frames:
            return log_mel
        log_mel = log_mel[..., : self.spec.fixed_frames]
        missing = self.spec.fixed_frames - log_mel.shape[2]
        return F.pad(log_mel, (0, missing), value=padded_value(self.spec)) if missing else log_mel

    def _spectrum(self, x: Tensor) -> Tensor:
        """[batch, samples] -> complex spectrum [batch, n_fft // 2 + 1, frames]."""
        spec = self.spec
        if spec.framing == "kaldi":
            frames = x.unfold(1, spec.win_length, spec.hop_length)
            frames = frames - frames.mean(dim=2, keepdim=True)
            before = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
            frames = (frames - spec.preemphasis * before) * self.window
            spectrum: Tensor = torch.fft.rfft(frames, spec.n_fft).transpose(1, 2)
            return spectrum
        if spec.preemphasis:
            x = x[:, 1:] - spec.preemphasis * x[:, :-1]
        return torch.stft(
            x, spec.n_fft, spec.hop_length, spec.win_length, self.window,
            center=spec.center, pad_mode=spec.pad_mode, return_complex=True,
        )  # fmt: skip

    def _mel(self, x: Tensor) -> Tensor:
        """[batch, samples] -> energy in every mel band [batch, n_mels, frames]."""
        spectrum = self._spectrum(x)
        power = spectrum.real.square() + spectrum.imag.square()
        if self.spec.power == 1.0:
            power = power.sqrt()
        parts = zip(torch.split(self.mel, _BAND), self._bins, strict=True)
        return torch.cat([filters[:, bins] @ power[:, bins] for filters, bins in parts], dim=1)


def _nonzero(filters: Tensor) -> slice:
    """The bins in which any of the filters [mels, bins] is not zero."""
    bins = filters.any(dim=0).nonzero()
    return slice(int(bins[0]), int(bins[-1]) + 1) if len(bins) else slice(0, 1)
