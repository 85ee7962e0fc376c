"""The last seconds of a live source, from which captures are cut."""

from __future__ import annotations

from collections import deque

import numpy as np

from runtime.audio.samples import Array, to_int16
from runtime.live.takes import Pcm


class History:
    """The last seconds of a source as it delivers them: mono, at its own rate, with their times.

    Samples are held as they are and rounded to 16 bits where they are cut, which is seldom.

    Args:
        sample_rate: Hz.
        hold_s: what stays available before the newest chunk, however long that one is.

    Attributes:
        end: samples of the source so far, lost ones included.

    Example:
        >>> history = History(sample_rate=100, hold_s=4.0)
        >>> history.append(np.arange(300, dtype=np.float32)[:, None] / 32768)
        >>> history.cut(centre_s=1.0, length_s=0.05).tolist()
        [98, 99, 100, 101, 102]
    """

    def __init__(self, sample_rate: int, hold_s: float) -> None:
        self.sample_rate, self.end = sample_rate, 0
        self._hold = round(hold_s * sample_rate)
        self._blocks: deque[tuple[int, Array]] = deque()  # first sample and samples, in their order

    @property
    def end_s(self) -> float:
        """Seconds of the source so far, lost ones included."""
        return self.end / self.sample_rate

    def skip(self, lost_s: float) -> None:
        """Note that samples were lost."""
        self.end += round(lost_s * self.sample_rate)

    def append(self, samples: Array) -> None:
        """Take in samples, float32 [samples, channels]."""
        mono = samples[:, 0].copy() if samples.shape[1] == 1 else samples.mean(axis=1)
        self._blocks.append((self.end, mono))
        oldest = self.end - self._hold
        self.end += len(samples)
        while self._blocks[0][0] + len(self._blocks[0][1]) <= oldest:
            self._blocks.popleft()

    def cut(self, centre_s: float, length_s: float) -> Pcm:
        """The samples around a time: as many as asked for, unless a gap, an end or the past is too near.

        Args:
            centre_s: seconds of the source.
            length_s: seconds. Near a border of what there is, the time is not in the middle.
        """
        centre, length = round(centre_s * self.sample_rate), round(length_s * self.sample_rate)
        first, run = self._run_around(centre)
        start = min(centre - length // 2, first + len(run) - length)
        start = max(start, first)
        with np.errstate(invalid="ignore"):  # of samples that are not finite, which the stream refuses
            return to_int16(run[start - first : start - first + length])

    def _run_around(self, centre: int) -> tuple[int, Array]:
        """The first sample and the samples of the stretch without a gap that contains a sample."""
        first, parts, end = 0, [np.empty(0, np.float32)], -1
        for start, samples in list(self._blocks):
            if start != end:  # samples were lost in between
                if end > centre:
                    break
                first, parts = start, []
            parts.append(samples)
            end = start + len(samples)
        return first, np.concatenate(parts)
