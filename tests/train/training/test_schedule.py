"""Learning-rate schedules, point by point."""

from __future__ import annotations

import pytest
import torch

from runtime.errors import ConfigError
from train.training.schedule import Schedule


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
    for epoch in range(14, 150):  # exp_warmup_linear_down of CP-JKU, which moves once an epoch
        published = 1 if epoch <= 50 else max(0.005 + 0.995 * (84 - epoch + 50) / 84, 0.005)
        assert factor[10 * epoch] == pytest.approx(published)
    assert factor[70] == pytest.approx(2.718281828 ** (-5 * 0.5**2))


def test_restarts_are_those_of_torch():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    published = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 10, 2, eta_min=0.01)
    schedule = Schedule(down=10 / 150, growth=2, floor=0.01)
    for step in range(150):
        assert schedule.factor(step, 150, 0.0) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        published.step()


def test_schedules_that_make_no_sense_are_refused():
    for values in ({"growth": 2}, {"growth": 0.5, "down": 0.1}, {"down": 0.0, "growth": 2}):
        with pytest.raises(ConfigError, match="Restarts need"):
            Schedule(**values)
    for values in ({"hold": 1.5}, {"down": 84}, {"floor": -1}):
        with pytest.raises(ConfigError, match="from 0 to 1"):
            Schedule(**values)
