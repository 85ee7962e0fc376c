"""Multiplications of a front end, from waveform to log-mel; they are outside every rule."""

from __future__ import annotations

import numpy as np

from complexity.fft import fft_multiplications
from runtime.audio.mel_filter_bank import mel_filter_bank
from runtime.spec import FrontEndSpec


def front_end_macs(spec: FrontEndSpec, frames: int) -> int:
    """Multiplications of ``frames`` log-mel frames; additions, roots and logarithms are not counted.

    Per frame: ``hop_length`` for the pre-emphasis where there is one (``win_length`` with Kaldi's framing,
    which filters each of the overlapping frames by itself), ``win_length`` for the window,
    ``n_fft * log2(n_fft)`` for the real FFT (`complexity.fft`), two for the power of each bin, one for
    each non-zero entry of the mel matrix and one per band to normalise.

    Args:
        spec: the front end.
        frames: frames of a clip.
    """
    bins = spec.n_fft // 2 + 1
    emphasized = spec.win_length if spec.framing == "kaldi" else spec.hop_length
    per_frame = (
        (emphasized if spec.preemphasis else 0)
        + spec.win_length
        + fft_multiplications(spec.n_fft, real=True)
        + 2 * bins
        + int(np.count_nonzero(mel_filter_bank(spec)))
        + spec.n_mels
    )
    return per_frame * frames
