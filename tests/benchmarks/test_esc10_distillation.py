"""The interval of a gain: about zero where there is none, and wider where clips share recordings."""

from __future__ import annotations

import numpy as np

from benchmarks.esc10_distillation import interval


def test_the_interval_holds_the_truth_and_is_wider_where_recordings_are_shared():
    alone = np.arange(400) % 10 > 1  # 80 % right
    each = [str(i) for i in range(400)]
    assert interval(alone, alone, each, 0) == (0.0, 0.0)
    better = alone | (np.arange(400) % 20 == 0)  # 5 points more
    low, high = interval(better, alone, each, 0)
    assert 0.02 < low < 0.05 < high < 0.08
    of_twenty = [str(i // 20) for i in range(400)]
    shared = alone | (np.arange(400) < 20)  # all of the gain in one recording
    wide = interval(shared, alone, of_twenty, 0)
    assert wide[0] == 0 and wide[1] - wide[0] > 0.02
