"""Keeps a host: tends it once a second, or at once when there are orders, and does what it is told.

The database announces orders; a connection of its own, in a thread of its own, listens. Whatever happens to that one,
leases are renewed by the other thread, and orders come with the renewals as they would without it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

import psycopg

from scheduler_bridge.dispatch.routes import queues_of_host
from scheduler_bridge.model.agents import AgentType
from scheduler_bridge.service import log_database_error
from scheduler_bridge.store.listener import Listener
from tasks.host import AgentHost
from tasks.queues import OpenQueues
from workers.timing import Timers

log = logging.getLogger(__name__)

TEND_SECONDS = 1.0
LISTEN_SECONDS = 60.0
DRAIN_NEWS_SECONDS = 60.0  # how often a draining host says what it waits for
# Once asked for some queues, Redis is asked for others only after a message or a second: at the start, when types pass
# their tests by the dozen, it pays to ask for all of them at once.
FIRST_TESTS_SECONDS = 1.0
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 15.0


class Keeper:
    """The two threads around one host."""

    def __init__(
        self,
        host: AgentHost,
        queues: OpenQueues,
        listener: Listener,
        *,
        read: Callable[[], tuple[Mapping[str, AgentType], Timers] | None],
        leave: Callable[[], None],
    ) -> None:
        """`read` reads the configuration again, None: it cannot be used; `leave` ends the worker in order."""
        self._host = host
        self._queues = queues
        self._listener = listener
        self._read = read
        self._leave = leave
        self._stopped = threading.Event()
        self._reading = threading.Lock()
        self._reloads: int | None = None  # None: not told yet, and read just now
        self._open_at = 0.0
        self._news_at: float | None = None  # None: nothing was drained yet
        self._left = False

    def start(self) -> None:
        """Begin; the queues are known before the consumer starts."""
        now = time.monotonic()
        self._open_at = now + FIRST_TESTS_SECONDS
        self._follow(now)
        self._host.alarm.ring()
        self._thread = threading.Thread(target=self._tend, name="keeper", daemon=True)
        self._thread.start()
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    def stop(self) -> None:
        """The host has been stopped."""
        self._stopped.set()
        self._host.alarm.ring()
        self._thread.join(TEND_SECONDS)

    def _tend(self) -> None:
        while not self._stopped.is_set():
            orders = self._host.alarm.wait(TEND_SECONDS)
            now = time.monotonic()
            _safely(partial(self._host.tend, now, orders=orders))
            _safely(partial(self._follow, now))

    def _listen(self) -> None:
        wait = FIRST_RETRY_SECONDS
        while not self._stopped.is_set():
            try:
                if self._listener.wait(LISTEN_SECONDS):
                    self._host.alarm.ring(orders=True)
                wait = FIRST_RETRY_SECONDS
            except psycopg.OperationalError:  # the keeper says so
                self._stopped.wait(wait)
                wait = min(2 * wait, LONGEST_RETRY_SECONDS)

    def _follow(self, now: float) -> None:
        """Do what the host was told with its last report, and consume what it can run."""
        told = self._host.reporting.told
        if told is not None and told.draining:
            self._drain(now)
        elif told is not None and told.reloads != self._reloads:
            if self._reloads is not None:
                threading.Thread(target=self._reload, name="reload", daemon=True).start()
            self._reloads = told.reloads
        offer = self._host.offer
        if offer.settled or now >= self._open_at:
            self._open_at = now
            self._queues.want(queues_of_host(self._host.host.name, offer.open()))

    def _drain(self, now: float) -> None:
        """Start nothing more; leave after the last job, or when the time is over."""
        if self._news_at is None:
            log.info("draining: nothing more is started here", extra={"action": "draining"})
            self._host.offer.close()
            self._news_at = now
        if now >= self._news_at and not self._left:
            self._news_at = now + DRAIN_NEWS_SECONDS
            _tell_who_is_waited_for(self._host.leases.running())
        late = now >= self._host.reporting.leave_at
        if not self._left and (late or self._host.idle):
            self._left = True
            how = "the time is over, running jobs go back to the queue" if late else "the last job has ended"
            log.info("drained: %s", how, extra={"action": "drained"})
            self._leave()

    def _reload(self) -> None:
        """Apart from the keeper: a folder on a disk that hangs must not cost a lease."""
        with self._reading:
            found = self._read()
            if found is not None:
                self._host.configure(*found)


def _tell_who_is_waited_for(running: list[tuple[int, bool]]) -> None:
    """A paused job may hold a drain up until somebody sets it going, ends it, or the time is over."""
    if running:
        jobs = ", ".join(f"{job} (paused)" if paused else str(job) for job, paused in running)
        facts = {"action": "drain_waits", "jobs": [job for job, _ in running]}
        log.info("draining: waits for %s %s", "job" if len(running) == 1 else "jobs", jobs, extra=facts)


def _safely(deed: Callable[[], None]) -> None:
    """Whatever goes wrong, leases must be renewed a second later."""
    try:
        deed()
    except psycopg.OperationalError as error:
        log_database_error(error)
    except Exception:
        log.exception("the host could not be tended", extra={"action": "tend_failed"})
