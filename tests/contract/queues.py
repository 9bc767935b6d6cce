"""Two stores with the queue behind each: what a foreign client does there, and a clock that can be moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import psycopg
from psycopg import sql

from scheduler_bridge.store.memory import MemoryStore
from scheduler_bridge.store.memory_queue import Row
from scheduler_bridge.store.port import JobStore
from scheduler_bridge.store.postgres import PostgresStore
from tests.builders import Inserted, JobRow, StreamRow, a_stream, insert

COLUMNS = {
    "start": "jq_starttime",
    "end": "jq_endtime",
    "endtext": "jq_endtext",
    "bits": "jq_end_bits",
    "agent_type": "jq_type",
    "host": "jq_host",
}
EMPTY = """
    delete from public.job;
    alter sequence public.job_job_pk_seq restart;
    alter sequence public.jobqueue_jq_pk_seq restart;
    delete from scheduler_bridge.stream;
    delete from scheduler_bridge.open_job;
    delete from scheduler_bridge.unplanned;
    delete from scheduler_bridge.edge;
    delete from scheduler_bridge.attempt;
    delete from scheduler_bridge.output;
    delete from scheduler_bridge.agent_type;
    delete from scheduler_bridge.host;
    delete from scheduler_bridge.progress;
    insert into scheduler_bridge.progress default values;
"""
CLOCKS = {  # every time that scheduler-bridge remembers and decides by
    "stream": ["leased_until"],
    "open_job": ["proposed_at", "refused_at", "not_before"],
    "attempt": ["claimed_at", "started_at", "renewed_at", "expires_at", "ended_at"],
    "host": ["seen_at"],
    "progress": ["swept_at", "lenient_until"],
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a foreign client reads of a row."""

    start: datetime | None
    end: datetime | None
    endtext: str | None
    bits: int
    items: int
    schedinfo: str | None

    @property
    def status(self) -> tuple[bool, bool, str | None, int]:
        """Started, ended, text and bits: the row's state as FOSSology encodes it."""
        return self.start is not None, self.end is not None, self.endtext, self.bits


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt in the ledger."""

    epoch: int
    worker: str | None
    host: str | None
    ending: str | None  # None: it runs
    reason: str


class Queue(Protocol):
    """A store under test and what is around it."""

    store: JobStore

    def insert(self, stream: StreamRow) -> Inserted:
        """Insert a stream, prerequisites first."""

    def add(self, stream: int, job: JobRow) -> int:
        """Insert one more job into a stream; `needs` are numbers."""

    def insert_slowly(self, stream: StreamRow) -> AbstractContextManager[Inserted]:
        """Draw numbers now, let the rows be seen at the end of the block."""

    def depend(self, job: int, needs: int | None) -> None:
        """Let `job` depend on `needs`; None: the row names no job."""

    def undepend(self, job: int, needs: int) -> None:
        """Delete that dependency."""

    def read(self, job: int) -> Found:
        """A row as it is."""

    def change(self, job: int, **columns: object) -> None:
        """Set start, end, endtext, bits, agent_type or host of a row by hand."""

    def delete(self, job: int) -> None:
        """Delete a row."""

    def set_priority(self, stream: int, priority: int) -> None:
        """Change a stream's priority by hand."""

    def pass_time(self, seconds: float) -> None:
        """Let the store's clock go on."""

    def ledger(self, job: int) -> list[Entry]:
        """The attempts at a job."""

    def tail(self, job: int, epoch: int) -> bytes | None:
        """What is kept of an agent's output."""


def emptied(connection: psycopg.Connection[Any]) -> None:
    """Take everything out of a database."""
    connection.execute(EMPTY)


class MemorySide:
    """MemoryStore and its queue."""

    def __init__(self, *, window: int = 0) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        self._memory = MemoryStore(lambda: self._now, window=window)
        self.store: JobStore = self._memory
        self._queue = self._memory.queue

    def insert(self, stream: StreamRow) -> Inserted:
        inserted = Inserted(self._insert_stream(stream))
        for job in stream.jobs:
            inserted.jobs[job.name] = self._insert(inserted, job, None)
        return inserted

    def add(self, stream: int, job: JobRow) -> int:
        return self._insert(Inserted(stream), job, None)

    @contextmanager
    def insert_slowly(self, stream: StreamRow) -> Iterator[Inserted]:
        inserted = Inserted(self._insert_stream(stream))
        inserted.jobs.update({job.name: self._queue.draw() for job in stream.jobs})
        yield inserted
        for job in stream.jobs:
            self._insert(inserted, job, inserted[job.name])

    def depend(self, job: int, needs: int | None) -> None:
        self._queue.insert_dependency(job, needs)

    def undepend(self, job: int, needs: int) -> None:
        self._queue.delete_dependency(job, needs)

    def read(self, job: int) -> Found:
        row = self._queue.read(job)
        return Found(row.start, row.end, row.endtext, row.bits, row.items, row.schedinfo)

    def change(self, job: int, **columns: object) -> None:
        self._queue.change(job, **columns)

    def delete(self, job: int) -> None:
        self._queue.delete(job)

    def set_priority(self, stream: int, priority: int) -> None:
        self._queue.streams[stream].priority = priority

    def pass_time(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def ledger(self, job: int) -> list[Entry]:
        found = sorted(
            (epoch, one) for (number, epoch), one in self._memory.attempts.items() if number == job
        )
        return [
            Entry(epoch, one.worker, one.host, one.ending.value if one.ending else None, one.reason)
            for epoch, one in found
        ]

    def tail(self, job: int, epoch: int) -> bytes | None:
        return self._memory.tails.get((job, epoch))

    def _insert_stream(self, stream: StreamRow) -> int:
        return self._queue.insert_stream(priority=stream.priority, user=stream.user, group=stream.group)

    def _insert(self, inserted: Inserted, job: JobRow, number: int | None) -> int:
        needs: list[int | None] = [inserted[need] if isinstance(need, str) else need for need in job.needs]
        row = Row(inserted.stream, job.agent_type, job.args, job.cmd_args, job.host, needs)
        return self._queue.insert_job(row, number)


class PostgresSide:
    """PostgresStore and its database."""

    def __init__(self, url: str, connection: psycopg.Connection[Any], *, window: int = 0) -> None:
        self._url = url
        self._connection = connection
        self.postgres = PostgresStore(url, window=window)
        self.store: JobStore = self.postgres

    def empty(self) -> None:
        """Take everything out."""
        emptied(self._connection)

    def open_jobs(self) -> int:
        """How many rows have not ended."""
        cursor = self._connection.execute("select count(*) from public.jobqueue where jq_endtime is null")
        return int(cursor.fetchall()[0][0])

    def insert(self, stream: StreamRow) -> Inserted:
        return insert(self._connection, stream)

    def add(self, stream: int, job: JobRow) -> int:
        other = insert(self._connection, a_stream(job))
        self._connection.execute(
            "update public.jobqueue set jq_job_fk = %s where jq_pk = %s", [stream, other[job.name]]
        )
        return other[job.name]

    @contextmanager
    def insert_slowly(self, stream: StreamRow) -> Iterator[Inserted]:
        with psycopg.connect(self._url) as transaction:
            yield insert(transaction, stream)

    def depend(self, job: int, needs: int | None) -> None:
        self._connection.execute(
            "insert into public.jobdepends (jdep_jq_fk, jdep_jq_depends_fk) values (%s, %s)", [job, needs]
        )

    def undepend(self, job: int, needs: int) -> None:
        self._connection.execute(
            "delete from public.jobdepends where jdep_jq_fk = %s and jdep_jq_depends_fk = %s", [job, needs]
        )

    def read(self, job: int) -> Found:
        cursor = self._connection.execute(
            "select jq_starttime, jq_endtime, jq_endtext, jq_end_bits, jq_itemsprocessed, jq_schedinfo"
            " from public.jobqueue where jq_pk = %s",
            [job],
        )
        return Found(*cursor.fetchall()[0])

    def change(self, job: int, **columns: object) -> None:
        changes = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(COLUMNS[name]), sql.Placeholder(name))
            for name in columns
        )
        statement = sql.SQL("update public.jobqueue set {} where jq_pk = %(job)s").format(changes)
        self._connection.execute(statement, {"job": job, **columns})

    def delete(self, job: int) -> None:
        self._connection.execute("delete from public.jobqueue where jq_pk = %s", [job])

    def set_priority(self, stream: int, priority: int) -> None:
        self._connection.execute(
            "update public.job set job_priority = %s where job_pk = %s", [priority, stream]
        )

    def pass_time(self, seconds: float) -> None:
        for table, columns in CLOCKS.items():
            changes = sql.SQL(", ").join(
                sql.SQL("{0} = {0} - make_interval(secs => {1})").format(sql.Identifier(name), seconds)
                for name in columns
            )
            target = sql.Identifier("scheduler_bridge", table)
            self._connection.execute(sql.SQL("update {} set {}").format(target, changes))

    def ledger(self, job: int) -> list[Entry]:
        cursor = self._connection.execute(
            "select epoch, worker, host, ending, reason from scheduler_bridge.attempt"
            " where job = %s order by epoch",
            [job],
        )
        return [Entry(*row) for row in cursor]

    def tail(self, job: int, epoch: int) -> bytes | None:
        cursor = self._connection.execute(
            "select tail from scheduler_bridge.output where job = %s and epoch = %s", [job, epoch]
        )
        row = cursor.fetchone()
        return row[0] if row else None
