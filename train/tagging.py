"""Tags of a recording over time, by the network of a model.pt in torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from runtime.audio.window_grid import window_starts
from runtime.errors import ConfigError
from train.checkpoints.model_pt import Checkpoint
from train.distillation.losses import soften
from train.log_mel import LogMel

Array = npt.NDArray[np.float32]
_BATCH = 8  # windows at a time: 10 s of a base transformer take some 100 MB each
_LEAST_S = 1.0  # of a window that is shorter than those of the model


@dataclass(frozen=True)
class TaggedWindow:
    """The probabilities of one window.

    Attributes:
        start_s: where it begins in the recording, seconds.
        end_s: where it ends; at most the end of the recording.
        probabilities: label to probability, in the order of the labels.
    """

    start_s: float
    end_s: float
    probabilities: dict[str, float]

    def top(self, count: int) -> dict[str, float]:
        """The most probable labels, the most probable first."""
        return dict(sorted(self.probabilities.items(), key=lambda tag: -tag[1])[:count])


class Tagger:
    """Tags recordings with the network of a model.pt.

    A recording shorter than a window is one window of its own length, because taggers average over time and
    zeros would lower every probability; one below a second, or below a shorter window, is filled with zeros.

    Args:
        model: a student or a teacher.
        window_s: length of a window, seconds; None is that of the training.
        hop_s: time from one window to the next, seconds; None is the length of a window.

    Raises:
        ConfigError: where a length makes no sense.
        ModelFileError: where the model cannot be built.
    """

    def __init__(self, model: Checkpoint, window_s: float | None = None, hop_s: float | None = None) -> None:
        rate = model.frontend.sample_rate
        self._least = round(min(model.clip_s, _LEAST_S) * rate)
        self._window = _samples("window", model.clip_s if window_s is None else window_s, rate, self._least)
        self._hop = self._window if hop_s is None else _samples("hop", hop_s, rate, rate // 100)
        self._model, self._log_mel, self._network = model, LogMel(model.frontend), model.build()

    def windows(self, samples: Array) -> Iterator[TaggedWindow]:
        """Tag a recording, window after window; the last one is aligned to its end.

        Args:
            samples: float32 [samples] at the model's sample rate.
        """
        length, rate = min(len(samples), self._window), self._model.frontend.sample_rate
        starts = window_starts(len(samples), self._window, self._hop)
        for first in range(0, len(starts), _BATCH):
            batch = starts[first : first + _BATCH]
            waveforms = np.stack([samples[start : start + length] for start in batch])
            rows = self._probabilities(torch.from_numpy(waveforms)).tolist()
            for start, row in zip(batch, rows, strict=True):
                probabilities = dict(zip(self._model.labels, row, strict=True))
                yield TaggedWindow(start / rate, (start + length) / rate, probabilities)

    @torch.inference_mode()
    def _probabilities(self, waveforms: Tensor) -> Tensor:
        """[batch, samples] -> [batch, classes]."""
        waveforms = F.pad(waveforms, (0, max(self._least - waveforms.shape[1], 0)))
        logits = self._network(self._log_mel(waveforms))
        return soften(logits, self._model.temperature, self._model.task)


def _samples(option: str, seconds: float, rate: int, least: int) -> int:
    """A length in samples; raises ConfigError where it is below the least."""
    if not least / rate <= seconds <= 3600:  # nan fails too
        raise ConfigError(
            f"--{option} is {seconds:g} s, and this model takes {least / rate:g} to 3600: give such a number."
        )
    return round(seconds * rate)
