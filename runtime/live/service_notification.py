"""Service notification for systemd: the protocol of sd_notify(3), a datagram on a socket that it names.

Only under systemd, with ``Type=notify``, is that variable set; elsewhere no socket is ever opened.
"""

from __future__ import annotations

import os
import socket
import time

_SOCKET, _WATCHDOG_US = "NOTIFY_SOCKET", "WATCHDOG_USEC"


def notify(state: str) -> None:
    """Send a state such as ``READY=1``; errors are ignored, since the service works without its manager."""
    address = os.environ.get(_SOCKET)
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return


class Watchdog:
    """Keep-alive pings for systemd, sent for windows that were classified, not for being alive.

    A process that hangs, or whose microphone is gone for longer than ``WatchdogSec``, sends none, and
    systemd restarts it.

    Example:
        >>> watchdog = Watchdog()
        >>> watchdog.ping()  # after every window
    """

    def __init__(self) -> None:
        self._every_s = int(os.environ.get(_WATCHDOG_US, 0)) / 4e6
        self._pinged_at = float("-inf")

    def ping(self) -> None:
        """Report that a window was classified, at most four times per ``WatchdogSec``."""
        now = time.monotonic()
        if self._every_s and now - self._pinged_at >= self._every_s:
            self._pinged_at = now
            notify("WATCHDOG=1")
