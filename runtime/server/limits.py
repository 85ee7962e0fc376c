"""How much a client may ask for."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one process serves at most; beyond it a client is refused or cut off, and the others go on.

    Attributes:
        clients: WebSockets at a time.
        message_bytes: of one WebSocket message; a larger one closes its connection before it is read.
        messages_per_s: of one WebSocket, after a burst of two seconds.
        ahead_s: audio that a browser may send ahead of real time, as after a pause; more is lost.
        flood_s: lost audio beyond that after which its connection is closed.
        unread: messages that wait for one reader; the oldest windows are left out then.
        stalled_s: without any progress in sending, after which its connection is closed.
        connections_per_s: new WebSockets from one address, after a burst of 100.
        upload_bytes: of one file.
        upload_s: seconds of audio in one file.
        uploads: files that are classified at a time.
    """

    clients: int = 64
    message_bytes: int = 2**17
    messages_per_s: float = 200.0
    ahead_s: float = 5.0
    flood_s: float = 10.0
    unread: int = 64
    stalled_s: float = 30.0
    connections_per_s: float = 10.0
    upload_bytes: int = 32 * 2**20
    upload_s: float = 3600.0
    uploads: int = 2


class Allowance:
    """What may still be spent: it refills at a rate, up to a burst (a token bucket).

    Args:
        per_s: refilled every second.
        burst: at most, and at the start.
        clock: seconds, monotonic.

    Example:
        >>> allowance = Allowance(per_s=1.0, burst=2.0, clock=lambda: 0.0)
        >>> [allowance.spend(1.0) for _ in range(3)]
        [True, True, False]
    """

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._left, self._at = burst, clock()

    def spend(self, amount: float) -> bool:
        """Spend an amount; False, and nothing is spent, where there is not enough."""
        now = self._clock()
        self._left = min(self._burst, self._left + self._per_s * (now - self._at))
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True


class AddressAllowances:
    """An `Allowance` for each of the addresses that were seen last.

    Args:
        per_s: of one address, refilled every second.
        burst: of one address.
        addresses: so many are remembered.

    Example:
        >>> allowances = AddressAllowances(per_s=0.0, burst=1.0)
        >>> allowances.spend("192.0.2.1"), allowances.spend("192.0.2.1"), allowances.spend("192.0.2.2")
        (True, False, True)
    """

    def __init__(self, per_s: float, burst: float, addresses: int = 1000) -> None:
        self._per_s, self._burst, self._addresses = per_s, burst, addresses
        self._of: OrderedDict[str, Allowance] = OrderedDict()

    def spend(self, address: str) -> bool:
        """Spend one from the allowance of an address."""
        allowance = self._of.setdefault(address, Allowance(self._per_s, self._burst))
        self._of.move_to_end(address)
        if len(self._of) > self._addresses:
            self._of.popitem(last=False)
        return allowance.spend(1.0)
