"""Calls the keeper before its second is over."""

from __future__ import annotations

import threading


class Alarm:
    """Rung by any thread, waited for by one."""

    def __init__(self) -> None:
        self._rung = threading.Event()
        self._orders = False

    def ring(self, *, orders: bool = False) -> None:
        """Something has changed; with `orders`, people may want something of running jobs or of this host."""
        if orders:
            self._orders = True
        self._rung.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the alarm, at most so long; whether there may be orders."""
        self._rung.wait(seconds)
        self._rung.clear()  # before the look: who rings after it is heard the next time
        orders, self._orders = self._orders, False
        return orders
