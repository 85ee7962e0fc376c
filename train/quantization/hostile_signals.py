"""Signals that a model must survive: what a microphone hears when something is wrong, and test tones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from runtime.audio.level import NO_SIGNAL_DBFS, level_dbfs
from runtime.audio.log_mel import LogMel
from runtime.spec import FrontEndSpec

Array = npt.NDArray[np.float32]


def hostile_waveforms(sample_rate: int, samples: int) -> dict[str, Array]:
    """Waveforms float32 [samples] by name, the same for the same arguments."""
    t = np.arange(samples) / sample_rate
    noise = np.random.Generator(np.random.PCG64(0)).standard_normal(samples)
    impulse = np.zeros(samples)
    impulse[samples // 2] = 1.0
    last_hz = 0.45 * sample_rate
    waveforms = {
        "silence": np.zeros(samples),
        "hum": 0.1 * np.sin(2 * np.pi * 50 * t),
        "sweep": 0.5 * np.sin(2 * np.pi * (20 * t + (last_hz - 20) * t**2 * sample_rate / (2 * samples))),
        "clipping": np.clip(20 * np.sin(2 * np.pi * 440 * t), -1, 1),
        "noise": 0.1 * noise,
        "faint noise": 1e-4 * noise,
        "full-scale noise": np.clip(noise, -1, 1),
        "impulse": impulse,
        "offset": np.full(samples, 0.5),
    }
    return {name: waveform.astype(np.float32) for name, waveform in waveforms.items()}


def hostile_inputs(frontend: FrontEndSpec, samples: int) -> Array:
    """Their log-mels [n, 1, n_mels, frames], in the same order."""
    log_mel = LogMel(frontend)
    waveforms = hostile_waveforms(frontend.sample_rate, samples).values()
    return np.stack([log_mel(waveform) for waveform in waveforms])[:, None]


def audible(marks: list[bool], sample_rate: int, samples: int) -> list[str]:
    """Names of the marked ones, but for those that the runtime gives no label to, for want of a signal."""
    waveforms = hostile_waveforms(sample_rate, samples)
    pairs = zip(marks, waveforms.items(), strict=True)
    return [name for mark, (name, x) in pairs if mark and level_dbfs(x) >= NO_SIGNAL_DBFS]
