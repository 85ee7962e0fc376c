"""Where the windows of a recording start: one rule for training and for streaming."""

from __future__ import annotations


def is_tail(rest: int, hop: int) -> bool:
    """Whether the samples after the last whole window get one more window, aligned to the recording's end.

    At least half a hop does. Less would repeat almost all of the last window: a file of 5.001 s has five
    windows of a second, not six.

    Args:
        rest: samples after the end of the last window.
        hop: samples from one window to the next.
    """
    return 2 * rest >= hop


def window_starts(samples: int, window: int, hop: int) -> list[int]:
    """First samples of the windows of a recording.

    A recording shorter than one window is one window, padded with zeros at its end.

    Args:
        samples: length of the recording.
        window: length of a window.
        hop: samples from one window to the next.
    """
    if samples <= window:
        return [0] if samples else []
    starts = list(range(0, samples - window + 1, hop))
    if is_tail(samples - window - starts[-1], hop):
        starts.append(samples - window)
    return starts
