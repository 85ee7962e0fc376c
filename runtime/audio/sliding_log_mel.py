"""Log-mels of overlapping windows, each bit-equal to the log-mel of that window alone.

The first and last frames of a window read padding made from the window's own edges, so they are computed
for each window. The frames between them read samples only. Where the hop is a multiple of the front end's
hop, two neighbouring windows share most of these frames, and only the new ones are computed: `LogMel`
treats each frame by itself, so shared frames have the same bits. A front end whose frames depend on the whole
window (its mean, its maximum) is computed in full for every window.
"""

from __future__ import annotations

import warnings

import numpy as np

from runtime.audio.log_mel import LogMel, shared_log_mel
from runtime.audio.samples import Array
from runtime.spec import FrontEndSpec


class SlidingLogMel:
    """The log-mels of windows that follow each other.

    Args:
        spec: the front end.
        window_samples: samples of a window.
        hop_samples: samples from one window to the next.
        front_end: computes the columns; that of numpy where None.

    Raises:
        ConfigError: where the window is too short for one frame.

    Example:
        >>> from runtime.spec import FrontEndSpec
        >>> sliding = SlidingLogMel(FrontEndSpec.preset("cp_mel"), 32000, 8000)
        >>> noise = np.random.default_rng(0).normal(size=40000).astype(np.float32)
        >>> first, second = sliding(noise[:32000], 0).copy(), sliding(noise[8000:], 8000)
        >>> np.array_equal(first[:, 20:61], second[:, 4:45])
        True
    """

    def __init__(
        self, spec: FrontEndSpec, window_samples: int, hop_samples: int, front_end: LogMel | None = None
    ) -> None:
        self._spec = spec
        self._log_mel = shared_log_mel(spec) if front_end is None else front_end
        self._frames = spec.frames(window_samples)
        self._hop_samples = hop_samples
        filtered = spec.filtered_samples(window_samples)
        self._padded = np.zeros(filtered + 2 * spec.pad, np.float32)
        self._inside = self._padded[spec.pad : spec.pad + filtered]
        views = np.lib.stride_tricks.sliding_window_view(self._padded[self._log_mel.lead :], spec.win_length)
        self._segments = views[:: spec.hop_length][: self._frames]
        self._columns = np.empty((spec.n_mels, self._frames), np.float32)
        self._place = -hop_samples - 1  # of the window in _columns; none yet
        self._shift = self._plan(filtered) if spec.framewise else 0

    def _plan(self, filtered: int) -> int:
        """Decide which frames are reused when the last window lies one hop back, and how far they move."""
        spec, every = self._spec, np.arange(self._frames)
        first = self._log_mel.lead - spec.pad  # where the first frame starts
        starts = first + every * spec.hop_length
        interior = every[(starts >= 0) & (starts + spec.win_length <= filtered)]
        shift, rest = divmod(self._hop_samples, spec.hop_length)
        if rest:
            warnings.warn(
                f"A hop of {self._hop_samples} samples is not a multiple of the front end's "
                f"{spec.hop_length}: every window is computed in full, which costs several times as much.",
                stacklevel=5,
            )
            return 0
        reused = interior[:-shift] if shift < len(interior) else interior[:0]
        begin, end = (int(reused[0]), int(reused[-1]) + 1) if len(reused) else (0, 0)
        self._reused = slice(begin, end)
        # Reused frames need no samples. The frames before them end with the last one's samples, or with the
        # last sample that is mirrored; the frames after them begin with the first one's.
        left = max(first + (begin - 1) * spec.hop_length + spec.win_length, spec.pad + 1)
        right = max(first + end * spec.hop_length, 0)
        self._edges = slice(0, left), slice(right, None)
        return shift

    def __call__(self, window: Array, place: int) -> Array:
        """Compute the log-mel of the window that starts ``place`` samples into the stream.

        Args:
            window: float32 [window_samples] at the spec's sample rate.
            place: of its first sample in the stream; one hop after the last call's reuses frames.

        Returns:
            float32 [n_mels, frames], overwritten by the next call.
        """
        if not self._spec.framewise:
            return self._log_mel(window)
        if self._shift and place - self._place == self._hop_samples:
            reused, flat = self._reused, self._columns.reshape(-1)
            flat[: -self._shift] = flat[self._shift :]  # what leaves its row ends up in a fresh column
            self._fill(window, *self._edges)
            fresh = self._log_mel.columns(self._segments[: reused.start], self._segments[reused.stop :])
            self._columns[:, : reused.start] = fresh[:, : reused.start]
            self._columns[:, reused.stop :] = fresh[:, reused.start :]
        else:
            self._fill(window, slice(None))
            self._log_mel.columns(self._segments, out=self._columns)
        self._place = place
        return self._columns

    def _fill(self, window: Array, *spans: slice) -> None:
        """Pre-emphasis of spans, then padding as `LogMel.pad`, in the buffer."""
        inside, pad = self._inside, self._spec.pad
        more = len(window) - len(inside)  # samples that pre-emphasis reads after a span
        for span in spans:
            stop = None if span.stop is None else span.stop + more
            self._log_mel.emphasize(window[span.start : stop], out=inside[span])
        if pad and self._spec.pad_mode == "reflect":
            self._padded[:pad] = inside[pad:0:-1]
            self._padded[-pad:] = inside[-2 : -pad - 2 : -1]
