"""The bridge as a process: wakes when the database or a command announces something, and at least once an interval."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import psycopg

from scheduler_bridge.bridge import Bridge
from scheduler_bridge.model.lease import RENEWALS_PER_LEASE
from scheduler_bridge.store.listener import Listener
from scheduler_bridge.sweep import Sweep

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 1.0
# What a server says while it stops, crashes and starts: admin_shutdown, crash_shutdown, cannot_connect_now.
STOPPING_STATES = ("57P01", "57P02", "57P03")
CONNECTION_STATES = "08"


def is_outage(error: psycopg.OperationalError) -> bool:
    """Whether the server was away. A deadlock or a cancelled statement is the answer of one that is there."""
    state = error.sqlstate  # None: of libpq, or of a pool that has found no connection in time
    return state is None or state.startswith(CONNECTION_STATES) or state in STOPPING_STATES


class Calm:
    """Whether the database has been back for long enough to take leases back.

    During an outage nobody could renew a lease or write how a job ended. Who sweeps at the first moment would take such
    jobs back from workers that have their results in hand and try once in a few seconds to write them.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._back_at = float("-inf")
        self.away = False  # when it was asked last

    @classmethod
    def for_leases(cls, lease_seconds: float) -> Calm:
        """Long enough for every worker to renew once."""
        return cls(lease_seconds / RENEWALS_PER_LEASE)

    def disturbed(self) -> None:
        """The database does not answer."""
        self.away = True

    def answered(self) -> bool:
        """The database answers; whether it has done so for long enough."""
        now = self._clock()
        if self.away:
            self.away, self._back_at = False, now
        return now - self._back_at >= self._seconds


class BridgeService:
    """Ticks whenever something is announced, and at least once an interval; then does what is `beside` that."""

    def __init__(
        self,
        bridge: Bridge,
        sweep: Sweep,
        listener: Listener,
        *,
        interval_seconds: float,
        calm: Calm | None = None,
        beside: Callable[[], None] = lambda: None,
    ) -> None:
        """`calm`: how long after an outage leases are taken back, at once without it."""
        self._bridge = bridge
        self._sweep = sweep
        self._listener = listener
        self._interval_seconds = interval_seconds
        self._calm = calm or Calm(0.0)
        self._beside = beside

    def run(self, stopping: threading.Event) -> None:
        """Tick until told to stop; an unreachable database is waited for."""
        while not stopping.is_set():
            try:
                self._bridge.tick()
                if self._calm.answered():
                    self._sweep.run_if_overdue()
                self._beside()
                self._listener.wait(self._interval_seconds)
            except psycopg.OperationalError as error:
                if is_outage(error):
                    log.warning(
                        "the database cannot be reached: %s", error, extra={"action": "database_away"}
                    )
                    self._calm.disturbed()
                else:
                    log.warning("tried again in a moment: %s", error, extra={"action": "database_refused"})
                stopping.wait(RECONNECT_SECONDS)
