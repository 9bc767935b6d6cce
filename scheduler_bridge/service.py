"""The bridge as a process: wakes when the database or a command announces something, and at least once an interval."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import psycopg

from scheduler_bridge.bridge import Bridge
from scheduler_bridge.store.listener import Listener
from scheduler_bridge.sweep import Sweep
from scheduler_bridge.wiring import is_outage

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 1.0


def log_database_error(error: psycopg.OperationalError, what: str = "") -> str:
    """One line about what the database could not or would not do, and what that means for `what`; the line."""
    away = is_outage(error)
    verdict = "cannot be reached" if away else "answered with an error"
    sentence = f"{what}the database {verdict}: {' '.join(str(error).split())}"
    log.warning("%s", sentence, extra={"action": "database_away" if away else "database_refused"})
    return sentence


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
            except psycopg.OperationalError as error:
                log_database_error(error)
                stopping.wait(RECONNECT_SECONDS)
