"""The constants of a model's stream and its probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from export.c.c_text import real
from runtime.audio.level import NO_SIGNAL_DBFS
from runtime.audio.samples import MAX_PEAK
from runtime.errors import ModelFileError
from runtime.live.overload import DEFAULT_HOP_S
from runtime.spec import ModelSpec

_LEVEL_BITS = 18  # after the point, of a sample whose level is measured: sums of squares fit 64 bits


def probability_table(spec: ModelSpec, scale: float, zero: int) -> npt.NDArray[np.float64]:
    """Sigmoid of every integer logit, or exp of minus every distance from the greatest one."""
    integers = np.arange(256, dtype=np.float64)
    if spec.task == "multi_label":
        return np.asarray(1 / (1 + np.exp(-(integers - zero) * scale / spec.temperature)))
    return np.exp(-integers * scale / spec.temperature)


@dataclass(frozen=True)
class StreamSizes:
    """What the stream of the C code stores: see ``model.c``.

    Attributes:
        hop_samples: from one window to the next.
        first_inner, last_inner: frames of a window from the one on, and before the other, lie inside it.
        inner_needs, first_needs: samples after a frame's, or a window's, nominal start that must be there.
        ring: samples to store, a power of two.
        open_windows: windows that have begun and not ended.
        inner_frames: frames to store: those of a window, and those computed before it ends that lie after its
            last one.
    """

    hop_samples: int
    first_inner: int
    last_inner: int
    inner_needs: int
    first_needs: int
    ring: int
    open_windows: int
    inner_frames: int

    @classmethod
    def of(cls, spec: ModelSpec, hop_s: float | None = None) -> StreamSizes:
        """The sizes for a hop; raises ModelFileError where the hop does not divide into frames.

        None takes the hop nearest to `DEFAULT_HOP_S` that does.
        """
        front_end, samples = spec.frontend, spec.clip_samples
        if hop_s is None:
            frames = round(DEFAULT_HOP_S * front_end.sample_rate / front_end.hop_length)
            hop_s = max(frames, 1) * front_end.hop_length / front_end.sample_rate
        hop = round(hop_s * front_end.sample_rate) if math.isfinite(hop_s) else 0
        if hop < 1 or hop % front_end.hop_length or hop > samples:
            step = front_end.hop_length / front_end.sample_rate
            raise ModelFileError(
                f"A hop of {hop_s:g} s is not possible in C: give a multiple of {step:g} s, at most "
                f"{spec.clip_s:g} s."
            )
        filtered = front_end.filtered_samples(samples)
        late = samples - filtered  # pre-emphasis needs the next sample
        lead = (front_end.frame_samples - front_end.win_length) // 2 - front_end.pad
        starts = [lead + front_end.hop_length * frame for frame in range(front_end.frames(samples))]
        inside = [
            i for i, start in enumerate(starts) if start >= 0 and start + front_end.win_length <= filtered
        ]
        first, last = (inside[0], inside[-1] + 1) if inside else (len(starts), len(starts))
        ends = [start + front_end.win_length for start in starts]
        first_needs = max([0, *ends[:first], *(1 - start for start in starts[:first])])
        tail = min([filtered, *starts[last:], *(2 * (filtered - 1) - end for end in ends[last:])])
        spans = [front_end.win_length, first_needs, filtered - tail]
        inner_needs = lead + front_end.win_length + late
        computed = (samples - inner_needs) // front_end.hop_length + 1  # when the first window ends
        return cls(
            hop, first, last, inner_needs, first_needs + late, 1 << math.ceil(math.log2(max(spans) + 2)),
            -(-samples // hop) + 1, max(len(starts), computed),
        )  # fmt: skip


def config_values(spec: ModelSpec, sizes: StreamSizes) -> dict[str, str]:
    """Macros of ``model_config.h`` that follow from the spec."""
    front_end = spec.frontend
    integers = {
        "SAMPLE_RATE": front_end.sample_rate, "SAMPLES": spec.clip_samples, "CLASSES": len(spec.labels),
        "N_FFT": front_end.n_fft, "WIN_LENGTH": front_end.win_length, "HOP_LENGTH": front_end.hop_length,
        "N_MELS": front_end.n_mels, "FRAMES": spec.input_shape[3],
        "FILTERED": front_end.filtered_samples(spec.clip_samples),
        "LEAD": (front_end.frame_samples - front_end.win_length) // 2 - front_end.pad,
        "REFLECT": int(front_end.center and front_end.pad_mode == "reflect"),
        "PREEMPHASIS": int(front_end.preemphasis > 0), "MAGNITUDE": int(front_end.power == 1.0),
        "LOG_FLOOR": int(front_end.log_mode == "floor"), "MULTI_LABEL": int(spec.task == "multi_label"),
        "HOP_SAMPLES": sizes.hop_samples, "FIRST_INNER": sizes.first_inner, "LAST_INNER": sizes.last_inner,
        "INNER_NEEDS": sizes.inner_needs, "FIRST_NEEDS": sizes.first_needs, "RING": sizes.ring,
        "OPEN_WINDOWS": sizes.open_windows, "INNER_FRAMES": sizes.inner_frames,
        "LEVEL_BITS": _LEVEL_BITS,
    }  # fmt: skip
    least_power = 10 ** (NO_SIGNAL_DBFS / 10) * 4.0**_LEVEL_BITS
    reals = {
        "PREEMPHASIS_FACTOR": front_end.preemphasis, "LOG_OFFSET": front_end.log_offset,
        "MEAN": front_end.mean, "STD": front_end.std, "MAX_PEAK": MAX_PEAK,
    }  # fmt: skip
    return {
        **{key: str(value) for key, value in integers.items()},
        "LEAST_SIGNAL": f"INT64_C({round(least_power * spec.clip_samples)})",
        **{key: real(value) for key, value in reals.items()},
    }
