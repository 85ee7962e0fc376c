"""Where windows start."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.audio.window_grid import window_starts


@given(samples=st.integers(0, 300), window=st.integers(1, 50), hop=st.integers(1, 80))
def test_windows_lie_within_the_recording(samples: int, window: int, hop: int) -> None:
    starts = window_starts(samples, window, hop)
    assert starts == sorted(set(starts)) and bool(starts) == bool(samples)
    if samples >= window:
        assert all(start + window <= samples for start in starts)
        assert starts[-1] % hop == 0 or starts[-1] + window == samples
        assert 2 * (samples - window - starts[-1]) < hop  # what is left over is less than half a hop
