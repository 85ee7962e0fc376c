"""A word to systemd: the protocol of sd_notify(3), which is a datagram on a socket that it names.

Only under systemd, with ``Type=notify``, is that variable set; elsewhere no socket is ever opened.
"""

from __future__ import annotations

import os
import socket
import time

_SOCKET, _WATCHDOG_US = "NOTIFY_SOCKET", "WATCHDOG_USEC"


def notify(state: str) -> None:
    """Send a state such as ``READY=1``; a service manager that does not listen is no reason to stop."""
    address = os.environ.get(_SOCKET)
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return


class Watchdog:
    """Tells systemd that work is done: fed by windows that were classified, not by being alive.

    A process that hangs, or whose microphone is gone for longer than ``WatchdogSec``, is not fed and
    systemd starts it anew.

    Example:
        >>> watchdog = Watchdog()
        >>> watchdog.feed()  # after every window
    """

    def __init__(self) -> None:
        self._every_s = int(os.environ.get(_WATCHDOG_US, 0)) / 4e6
        self._fed_at = float("-inf")

    def feed(self) -> None:
        """A window was classified; tells systemd at most four times per ``WatchdogSec``."""
        now = time.monotonic()
        if self._every_s and now - self._fed_at >= self._every_s:
            self._fed_at = now
            notify("WATCHDOG=1")
