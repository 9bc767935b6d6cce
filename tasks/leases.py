"""Renews the leases of all sessions of this worker, and tells those whose lease is lost.

All that is due goes to the database in one statement. A session hears of a lost lease in two ways: the row says that it
has moved on, or the database cannot be reached for so long that somebody else may already act.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

import psycopg
from psycopg_pool import PoolTimeout

from scheduler_bridge.model.jobs import Work
from scheduler_bridge.model.lease import Lease
from scheduler_bridge.store.port import Held, JobStore
from workers.orders import Abandon, Stop
from workers.session import Session

log = logging.getLogger(__name__)

OUTPUT_SECONDS = 15.0  # how old the stored output of a running agent may be


@dataclass(slots=True)
class _Entry:
    """One running session."""

    work: Work
    session: Session
    lease: Lease
    items: int = 0  # as last stored
    output_version: int = 0
    output_at: float = 0.0


class Leases:
    """The running sessions of one worker; threads add and remove, one keeper thread renews."""

    def __init__(self, store: JobStore, worker: str, *, lease_seconds: float) -> None:
        self._store = store
        self._worker = worker
        self._lease_seconds = lease_seconds
        self._entries: dict[tuple[int, int], _Entry] = {}
        self._changed = threading.Condition()
        self._stopping = False

    def add(self, work: Work, session: Session, asked_at: float) -> None:
        """Keep the lease of a session that was claimed at `asked_at`; a stopping worker stops it at once."""
        with self._changed:
            self._entries[work.job, work.epoch] = _Entry(
                work, session, Lease(self._lease_seconds, asked_at), output_at=asked_at
            )
            stopping = self._stopping
        if stopping:
            session.order(Stop())

    def remove(self, work: Work) -> None:
        """The attempt has ended."""
        with self._changed:
            self._entries.pop((work.job, work.epoch), None)
            self._changed.notify_all()

    def stop_sessions(self) -> None:
        """Stop every session, now and later ones: their jobs go back to the queue."""
        with self._changed:
            self._stopping = True
            sessions = [entry.session for entry in self._entries.values()]
        for session in sessions:
            session.order(Stop())

    def wait_until_empty(self, seconds: float) -> bool:
        """Wait until every attempt has ended; False when some have not."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._entries, seconds)

    def renew(self, now: float) -> None:
        """Renew what is due or has counted on; `now` is this process' monotonic clock, read before the call."""
        with self._changed:
            entries = list(self._entries.values())
        due = [entry for entry in entries if now >= entry.lease.due_at or entry.session.items != entry.items]
        if not due:
            return
        attempts = [Held(entry.work.job, entry.work.epoch, entry.session.items) for entry in due]
        try:
            held = self._store.renew(self._worker, attempts)
            self._keep_output(entries, now)
        except (psycopg.OperationalError, PoolTimeout) as error:
            log.warning("leases were not renewed: %s", error, extra={"action": "renewal_failed"})
            self._abandon_untrusted(entries, now)
            return
        for entry, attempt in zip(due, attempts, strict=True):
            if attempt.job in held:
                entry.lease = entry.lease.renewed(now)
                entry.items = attempt.items
            elif self._is_running(entry):
                self._abandon(entry, "it has moved on or its row was ended by somebody else")

    def _is_running(self, entry: _Entry) -> bool:
        """Whether the attempt has not ended by itself while its lease was being renewed."""
        with self._changed:
            return self._entries.get((entry.work.job, entry.work.epoch)) is entry

    def _keep_output(self, entries: list[_Entry], now: float) -> None:
        chatty = [
            e
            for e in entries
            if e.session.output_version != e.output_version and now - e.output_at >= OUTPUT_SECONDS
        ]
        for entry in chatty:
            entry.output_version, entry.output_at = entry.session.output_version, now
        if chatty:
            self._store.keep_output({(e.work.job, e.work.epoch): e.session.output() for e in chatty})

    def _abandon_untrusted(self, entries: list[_Entry], now: float) -> None:
        for entry in entries:
            if now >= entry.lease.trusted_until:
                self._abandon(entry, "the database cannot be reached")

    def _abandon(self, entry: _Entry, why: str) -> None:
        work = entry.work
        log.error(
            "job %d, attempt %d: its lease is lost: %s",
            work.job,
            work.epoch,
            why,
            extra={"action": "lease_lost", "job": work.job},
        )
        entry.session.order(Abandon())
