"""The hop of a live loop under overload: wider while the machine is too slow, narrower once it is not."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

DEFAULT_HOP_S = 0.25  # four predictions a second

_LOSSES, _LOSSES_S = 3, 60.0  # so many losses in so many seconds: the hop is widened
_CALM_S, _CALM_MAX_S = 300.0, 3600.0  # without a loss for so long: the hop may be narrowed
_SPARE = 0.5  # but only to a hop that would keep the loop busy for at most this part of the time


class HopController:
    """The hop of a live loop, doubled under lasting overload and halved again after a calm time.

    Three rules prevent oscillation: losses widen the hop at once, but only minutes without any narrow it;
    the time that the loop works must leave room for twice as many windows; and each time that the hop has
    to be widened again, the calm time doubles, up to an hour.

    Args:
        hop_s: seconds from one window to the next, as asked for.
        widest_s: the widest it becomes.
        clock: seconds, monotonic.

    Example:
        >>> pace = HopController(hop_s=0.25, widest_s=1.0, clock=lambda: 0.0)
        >>> [pace.lost() for _ in range(3)], pace.hop_s
        ([False, False, True], 0.5)
    """

    def __init__(self, hop_s: float, widest_s: float, clock: Callable[[], float]) -> None:
        self._hops = [hop_s]  # the way back
        self._widest_s, self._clock = widest_s, clock
        self._losses: deque[float] = deque(maxlen=_LOSSES)
        self._calm_s, self._was_narrowed = _CALM_S, False
        self._watch()

    @property
    def hop_s(self) -> float:
        """Seconds from one window to the next, now."""
        return self._hops[-1]

    def lost(self) -> bool:
        """Note that samples were lost because the loop was late; whether the hop was widened for it."""
        self._watch()
        self._losses.append(self._clock())
        lasting = len(self._losses) == _LOSSES and self._losses[-1] - self._losses[0] < _LOSSES_S
        if not lasting or self.hop_s >= self._widest_s:
            return False
        self._losses.clear()
        self._hops.append(min(2 * self.hop_s, self._widest_s))
        if self._was_narrowed:
            self._calm_s, self._was_narrowed = min(2 * self._calm_s, _CALM_MAX_S), False
        return True

    def worked(self, seconds: float) -> bool:
        """Note how long the loop worked since the last call; whether the hop was narrowed now."""
        self._busy_s += seconds
        watched_s = self._clock() - self._watched_since
        if len(self._hops) == 1 or watched_s < self._calm_s:
            return False
        busy = self._busy_s / watched_s * self.hop_s / self._hops[-2]
        self._watch()
        if busy > _SPARE:
            return False
        self._hops.pop()
        self._was_narrowed = True
        return True

    def _watch(self) -> None:
        """Begin a calm time."""
        self._watched_since, self._busy_s = self._clock(), 0.0
