"""Renews the leases of all sessions of this worker, and tells those whose lease is lost.

All that is due goes to the database in one statement. A session hears of a lost lease in two ways: the row says that it
has moved on, or there was no renewal for so long that somebody else may act soon. The first is noticed by the keeper
thread, which a silent database holds up; the second by a watcher that asks nothing but the clock.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass

import psycopg

from scheduler_bridge.model.jobs import Work
from scheduler_bridge.model.lease import Lease
from scheduler_bridge.service import log_database_error
from scheduler_bridge.store.port import Held, JobStore, Orders
from workers.command_line import nice_of
from workers.orders import Abandon, Pause, Resume, SetPriority, SetVerbosity, Stop
from workers.session import Session

log = logging.getLogger(__name__)

OUTPUT_SECONDS = 15.0  # how old the stored output of a running agent may be
KILL_SECONDS = 0.25  # from the decision to the end of the agent's group on a busy machine


@dataclass(slots=True)
class _Entry:
    """One running session."""

    work: Work
    session: Session
    lease: Lease
    items: int = 0  # as last stored
    output_version: int = 0
    output_at: float = 0.0
    abandoned: bool = False
    orders: Orders | None = None  # as last told to the session

    @property
    def abandon_at(self) -> float:
        """When its agent must be killed to be gone before the lease is."""
        return self.lease.trusted_until - KILL_SECONDS

    def obey(self, orders: Orders) -> None:
        """Tell the session what has changed."""
        before = self.orders or Orders(False, self.work.priority, None)
        self.orders = orders
        if orders.paused != before.paused:
            self.session.order(Pause() if orders.paused else Resume())
        if orders.priority != before.priority:
            self.session.order(SetPriority(nice_of(orders.priority)))
        if orders.verbosity is not None and orders.verbosity != before.verbosity:
            self.session.order(SetVerbosity(orders.verbosity))


class Leases:
    """The running sessions of one worker; threads add and remove, one keeper renews, one watcher watches."""

    def __init__(self, store: JobStore, worker: str, *, lease_seconds: float) -> None:
        self._store = store
        self._worker = worker
        self._lease_seconds = lease_seconds
        self._entries: dict[tuple[int, int], _Entry] = {}
        self._lock = threading.Lock()
        self._earlier = threading.Condition(self._lock)  # a lease ends before the watcher would look again
        self._look_at = -math.inf  # when it looks again
        self._stop: Stop | None = None  # what every session is told from the worker's stop on

    @property
    def third(self) -> float:
        """Seconds that a job may wait for its agent without anybody renewing its lease."""
        return self._lease_seconds / 3

    def add(self, work: Work, session: Session, asked_at: float) -> None:
        """Keep the lease of a session that was claimed at `asked_at`; a stopping worker stops it at once."""
        with self._lock:
            entry = _Entry(work, session, Lease(self._lease_seconds, asked_at), output_at=asked_at)
            self._entries[work.job, work.epoch] = entry
            if entry.abandon_at < self._look_at:
                self._earlier.notify()
            stop = self._stop
        if stop:
            session.order(stop)

    def remove(self, work: Work) -> None:
        """The attempt has ended."""
        with self._lock:
            self._entries.pop((work.job, work.epoch), None)

    def stop_sessions(self, *, at_once: bool = False) -> None:
        """Stop every session, now and later ones: their jobs go back to the queue; `at_once`: without any grace."""
        with self._lock:
            stop = self._stop = Stop(at_once)
            sessions = [entry.session for entry in self._entries.values()]
        for session in sessions:
            session.order(stop)

    def running(self) -> list[tuple[int, bool]]:
        """The jobs that run here, by number, each with whether it is paused."""
        with self._lock:
            return sorted((job, entry.session.paused) for (job, _), entry in self._entries.items())

    def trusts(self, work: Work) -> bool:
        """Whether nobody else can have the job: an answer of the database may be as old as its silence was long."""
        with self._lock:
            entry = self._entries.get((work.job, work.epoch))
            return entry is not None and not entry.abandoned and time.monotonic() < entry.abandon_at

    def watch(self) -> None:
        """Abandon sessions whose leases run out, for ever; asks only the clock, in a thread of its own."""
        while True:
            self.abandon_untrusted(time.monotonic())
            with self._earlier:
                times = (entry.abandon_at for entry in self._entries.values() if not entry.abandoned)
                self._look_at = min(times, default=math.inf)
                seconds = self._look_at - time.monotonic()
                self._earlier.wait(None if seconds == math.inf else max(0.0, seconds))

    def abandon_untrusted(self, now: float) -> None:
        """Abandon the sessions that nobody renewed in time, each once."""
        with self._lock:
            entries = list(self._entries.values())
        for entry in entries:
            if now >= entry.abandon_at:
                self._abandon(entry, "the database has not renewed it in time")

    def renew(self, now: float, *, all_of_them: bool = False) -> None:
        """Renew what is due or has counted on, or all; `now` is this process' monotonic clock, read before the call."""
        with self._lock:
            entries = [entry for entry in self._entries.values() if not entry.abandoned]
        due = [
            entry
            for entry in entries
            if all_of_them or now >= entry.lease.due_at or entry.session.items != entry.items
        ]
        if not due:
            return
        attempts = [Held(entry.work.job, entry.work.epoch, entry.session.items) for entry in due]
        try:
            held = self._store.renew(self._worker, attempts)
        except psycopg.OperationalError as error:
            log_database_error(error, "leases were not renewed: ")
            return
        for entry, attempt in zip(due, attempts, strict=True):
            if attempt.job in held:
                entry.lease = entry.lease.renewed(now)
                entry.items = attempt.items
                entry.obey(held[attempt.job])
        self._give_up([entry for entry in due if entry.work.job not in held and self._is_running(entry)])
        self._keep_output(entries, now)

    def keep_log_paths(self) -> None:
        """Tell the rows of logs that have begun."""
        with self._lock:
            logs = {attempt: entry.session.log for attempt, entry in self._entries.items()}
        new = {attempt: log for attempt, log in logs.items() if log and log.untold_path}
        if not new:
            return
        try:
            self._store.keep_log_paths({attempt: str(log.path) for attempt, log in new.items()})
        except psycopg.OperationalError as error:
            log_database_error(error, "job logs were not told of: ")
            return
        for log in new.values():
            log.told = True

    def _is_running(self, entry: _Entry) -> bool:
        """Whether the attempt has not ended by itself while its lease was being renewed."""
        with self._lock:
            return self._entries.get((entry.work.job, entry.work.epoch)) is entry

    def _give_up(self, entries: list[_Entry]) -> None:
        """End the sessions of rows that are no longer ours, and tell those that people have killed from all others."""
        killed: dict[int, str] = {}
        try:
            if entries:
                killed = self._store.killed([Held(e.work.job, e.work.epoch, e.items) for e in entries])
        except psycopg.OperationalError as error:
            log_database_error(error, "what became of some jobs is not known: ")
        for entry in entries:
            text = killed.get(entry.work.job)
            if text is None:
                self._abandon(entry, "it has moved on or its row was ended by somebody else")
            else:
                self._kill(entry, text)

    def _keep_output(self, entries: list[_Entry], now: float) -> None:
        chatty = [
            e
            for e in entries
            if e.session.output_version != e.output_version and now - e.output_at >= OUTPUT_SECONDS
        ]
        for entry in chatty:
            entry.output_version, entry.output_at = entry.session.output_version, now
        if not chatty:
            return
        try:
            self._store.keep_output({(e.work.job, e.work.epoch): e.session.output() for e in chatty})
        except psycopg.OperationalError as error:
            log_database_error(error, "output was not kept: ")

    def _kill(self, entry: _Entry, text: str) -> None:
        if not self._is_let_go(entry):
            facts = {"action": "job_killed", "job": entry.work.job}
            log.info("job %d is killed by an operator: %s", entry.work.job, text, extra=facts)
            entry.session.order(Abandon(f"killed by an operator: {text}"))

    def _is_let_go(self, entry: _Entry) -> bool:
        """Whether its lease was given up before; from now on it is."""
        with self._lock:
            known, entry.abandoned = entry.abandoned, True
        return known

    def _abandon(self, entry: _Entry, why: str) -> None:
        if self._is_let_go(entry):
            return
        work = entry.work
        log.error(
            "job %d, attempt %d: its lease is lost: %s",
            work.job,
            work.epoch,
            why,
            extra={"action": "lease_lost", "job": work.job},
        )
        entry.session.order(Abandon())
