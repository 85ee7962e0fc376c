"""The log-mel as it is usually written in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from train.log_mel import LogMel


class PlainLogMel(LogMel):
    """The same front end as textbooks have it: one STFT of the whole batch, and a dense mel product."""

    def forward(self, waveform: Tensor) -> Tensor:
        """[batch, samples] -> [batch, 1, n_mels, frames]."""
        spec, x = self.spec, waveform[:, 1:] - self.spec.preemphasis * waveform[:, :-1]
        spectrum = torch.stft(
            x, spec.n_fft, spec.hop_length, spec.win_length, self.window, pad_mode=spec.pad_mode,
            return_complex=True,
        )  # fmt: skip
        mel = self.mel @ (spectrum.real.square() + spectrum.imag.square())
        return ((torch.log(mel + spec.log_offset) - spec.mean) / spec.std).unsqueeze(1)
