"""The bridge as a process: wakes when the database or a command announces something, and at least once an interval."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import psycopg
from psycopg_pool import PoolTimeout

from scheduler_bridge.bridge import Bridge
from scheduler_bridge.store.listener import Listener
from scheduler_bridge.sweep import Sweep

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 1.0


class BridgeService:
    """Ticks whenever something is announced, and at least once an interval; then does what is `beside` that."""

    def __init__(
        self,
        bridge: Bridge,
        sweep: Sweep,
        listener: Listener,
        *,
        interval_seconds: float,
        beside: Callable[[], None] = lambda: None,
    ) -> None:
        self._bridge = bridge
        self._sweep = sweep
        self._listener = listener
        self._interval_seconds = interval_seconds
        self._beside = beside

    def run(self, stopping: threading.Event) -> None:
        """Tick until told to stop; an unreachable database is waited for."""
        while not stopping.is_set():
            try:
                self._bridge.tick()
                self._sweep.run_if_overdue()
                self._beside()
                self._listener.wait(self._interval_seconds)
            except (psycopg.OperationalError, PoolTimeout) as error:
                log.warning("the database cannot be reached: %s", error, extra={"action": "database_away"})
                stopping.wait(RECONNECT_SECONDS)
