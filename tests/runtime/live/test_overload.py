"""The hop under load, on a clock that tests move."""

from __future__ import annotations

import pytest

from runtime.live.overload import HopController


class Machine:
    """A loop that turns once a second; ``cost_s`` is what a window takes."""

    def __init__(self, hop_s: float, widest_s: float = 1.0) -> None:
        self.now = 0.0
        self.pace = HopController(hop_s, widest_s, lambda: self.now)

    def overload(self) -> list[bool]:
        return [self._lose() for _ in range(3)]

    def _lose(self) -> bool:
        self.now += 1
        return self.pace.lost()

    def calm(self, seconds: float, cost_s: float = 0.01) -> list[float]:
        """The times at which the hop was narrowed."""
        narrowed, begun = [], self.now
        while self.now < begun + seconds:
            self.now += 1
            if self.pace.worked(cost_s / self.pace.hop_s):
                narrowed.append(self.now - begun)
        return narrowed


def test_three_losses_in_a_minute_widen_it_and_rare_ones_do_not() -> None:
    machine = Machine(0.25)
    for _ in range(9):
        machine.now += 31
        assert not machine.pace.lost()
    assert machine.overload() == [True, False, False]  # with the two before
    assert machine.pace.hop_s == 0.5


def test_it_comes_back_step_by_step_to_what_was_asked_for_and_no_further() -> None:
    machine = Machine(0.3)
    machine.overload()
    machine.overload()
    assert machine.pace.hop_s == 1.0  # no wider than a window
    assert machine.calm(2000) == [300, 600] and machine.pace.hop_s == 0.3


def test_a_loss_begins_the_calm_time_anew() -> None:
    machine = Machine(0.5)
    machine.overload()
    assert machine.calm(299) == [] and not machine.pace.lost()
    assert machine.calm(299) == [] and machine.calm(1) == [1]


@pytest.mark.parametrize(("cost_s", "hop_s"), [(0.2, 0.5), (0.3, 1.0)])
def test_it_stays_wide_where_the_narrow_hop_would_fill_the_time(cost_s: float, hop_s: float) -> None:
    machine = Machine(0.5)
    machine.overload()
    machine.calm(3000, cost_s)  # a window every half second: 40 % or 60 % of the time
    assert machine.pace.hop_s == hop_s


def test_each_relapse_doubles_the_calm_time_up_to_an_hour() -> None:
    machine, waits = Machine(0.5), []
    for _ in range(6):
        machine.overload()
        waits += machine.calm(4000)
    assert waits == [300, 600, 1200, 2400, 3600, 3600]
