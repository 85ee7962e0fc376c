"""Learning-rate schedules, point by point."""

from __future__ import annotations

import pytest

from train.schedule import Schedule


def test_a_cosine_to_zero_after_an_exponential_warm_up():
    factor = [Schedule().factor(step, 100, 0.1) for step in range(101)]
    assert factor[0] == pytest.approx(2.718281828**-5)
    assert factor[:11] == sorted(factor[:11]) and factor[10] == 1
    assert factor[55] == pytest.approx(0.5)
    assert factor[10:] == sorted(factor[10:], reverse=True) and factor[100] == pytest.approx(0)


def test_the_published_schedule_of_cp_mobile():
    """150 epochs: warm-up 14, flat to 50, linear down over 84, then 0.005 of the peak."""
    schedule = Schedule(hold=36 / 150, decay="linear", down=84 / 150, floor=0.005)
    factor = [schedule.factor(step, 1500, 14 / 150) for step in range(1501)]
    assert factor[139] < 1 and set(factor[140:501]) == {1.0}
    assert factor[920] == pytest.approx((1 + 0.005) / 2)
    assert factor[1340:] == pytest.approx([0.005] * 161)
