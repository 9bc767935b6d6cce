"""Gives the orders of a trial as people do: by the queries of the command port and the command line.

An order that finds its rows locked, by a process that a fault has stopped perhaps, is given again a moment later.
Whoever orders `restart` does not publish what it frees: a bridge may die at that point, and then it is for the sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg

from scheduler_bridge.command_port.orders import QUERIES
from scheduler_bridge.daemon.database import request_drain
from tests.chaos.fleet import HOSTS, Fleet
from tests.chaos.given import Drain, Given, Silence
from tests.chaos.orders import Order, Verb
from tests.chaos.records import Records
from tests.chaos.rows import ROWS, Row

AGAIN_SECONDS = 0.5
LOCK_TIMEOUT = "500ms"
CLOCK = "select extract(epoch from clock_timestamp())::float8"
OBSERVE = "select scheduler_bridge.observe()"  # as PostgresOrders does before a kill
OPEN = "select jq_pk from jobqueue where jq_pk = any (%s) and jq_endtime is null"
FAILED = "select distinct jq_job_fk from jobqueue where jq_job_fk = any (%s) and jq_end_bits >= 2 order by 1"
RERUN = "select scheduler_bridge.rerun_failed(%s)"
WORKER = "select worker from scheduler_bridge.host where name = %s"
RESET = """
update jobqueue q
set jq_starttime = null, jq_endtime = null, jq_endtext = null, jq_end_bits = 0, jq_itemsprocessed = 0
where q.jq_pk = %s and q.jq_endtime is null
  and exists (select from scheduler_bridge.attempt a where a.job = q.jq_pk and a.ended_at is null)
"""
LIVES_AGAIN = """
select q.jq_pk, coalesce((select max(a.epoch) from scheduler_bridge.attempt a where a.job = q.jq_pk), 0)
from jobqueue q where q.jq_pk = any (%s) and q.xmin = pg_current_xact_id()::xid
"""

One = TypeVar("One")
Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class _Due:
    at: float
    order: Order
    paused: int | None = None  # the job that is to be restarted

    def __str__(self) -> str:
        return self.order.verb.value if self.paused is None else "restart"


class Giver:
    """Gives what is due; used by the trial's thread while the database is up."""

    def __init__(self, fleet: Fleet, records: Records, orders: tuple[Order, ...], name: str) -> None:
        """`name` is the reason of kills."""
        self._fleet = fleet
        self._records = records
        self._due = [_Due(order.at, order) for order in orders]
        self._name = name
        self.given = Given()

    @property
    def busy(self) -> bool:
        """Orders are still to be given."""
        return bool(self._due)

    def give(self, now: float, numbers: Mapping[int, int], streams: Mapping[int, int]) -> list[str]:
        """Give what is due; what was done. Jobs and streams are those that have rows, by position."""
        said = []
        due = [one for one in self._due if one.at <= now]
        self._due = [one for one in self._due if one.at > now]
        for one in due:
            try:
                if not numbers:
                    raise psycopg.OperationalError("there are no rows yet")
                with self._fleet.connect() as connection:
                    connection.execute(f"set lock_timeout = '{LOCK_TIMEOUT}'")
                    said.append(self._give(connection, one, numbers, streams))
            except psycopg.OperationalError as error:
                self._later(_Due(now + AGAIN_SECONDS, one.order, one.paused))
                said.append(f"{one} is ordered again later: {' '.join(str(error).split())}")
        return said

    def _later(self, due: _Due) -> None:
        self._due = sorted([*self._due, due], key=lambda one: one.at)

    def _give(
        self, connection: Connection, due: _Due, numbers: Mapping[int, int], streams: Mapping[int, int]
    ) -> str:
        order = due.order
        if due.paused is not None:
            return self._restart(connection, due.paused, numbers[due.paused])
        match order.verb:
            case Verb.KILL:
                job = self._a_job(connection, order, numbers)
                return self._kill(connection, job, numbers[job])
            case Verb.PAUSE:
                job = self._a_job(connection, order, numbers)
                self._later(_Due(due.at + order.seconds, order, job))
                return self._pause(connection, job, numbers[job])
            case Verb.RESET:
                job = self._a_job(connection, order, numbers)
                return self._reset(connection, job, numbers[job])
            case Verb.DRAIN:
                return self._drain(connection, _one_of(HOSTS, order.number))
            case Verb.RERUN:
                return self._rerun(connection, self._a_stream(connection, order, streams), numbers)

    def _a_job(self, connection: Connection, order: Order, numbers: Mapping[int, int]) -> int:
        if order.running:
            self._records.look()
            running = sorted(self._records.under_way(), key=lambda run: run.due_at, reverse=True)
            jobs = [run.position for run in running if run.position in numbers]
            if jobs:
                return _one_of(jobs, order.number**2)  # rather one with much work left
        still_open = {job for (job,) in connection.execute(OPEN, [list(numbers.values())]).fetchall()}
        jobs = sorted(position for position, number in numbers.items() if number in still_open)
        return _one_of(jobs or sorted(numbers), order.number)

    def _a_stream(self, connection: Connection, order: Order, streams: Mapping[int, int]) -> int:
        """Of those with a failure, if there are any."""
        failed = [
            int(stream) for (stream,) in connection.execute(FAILED, [list(streams.values())]).fetchall()
        ]
        return _one_of(failed or sorted(streams.values()), order.number)

    def _kill(self, connection: Connection, job: int, number: int) -> str:
        connection.execute(OBSERVE)
        connection.execute(QUERIES["kill"], {"job": number, "text": self._name})
        row = _row(connection, number)
        self.given.kills.setdefault(job, row)
        if row.text == self._name:
            self.given.killed.add(job)
            self.given.silences.append(Silence(job, Verb.KILL, _clock(connection)))
        return f"kill {number}: {row.text}"

    def _pause(self, connection: Connection, job: int, number: int) -> str:
        connection.execute(QUERIES["pause"], {"job": number})
        row = _row(connection, number)
        if row.ended_at is None and row.text == "Paused":
            self.given.silences.append(Silence(job, Verb.PAUSE, _clock(connection)))
        return f"pause {number}: {row.text}"

    def _restart(self, connection: Connection, job: int, number: int) -> str:
        before = _clock(connection)
        if job not in self.given.killed:
            self.given.end_silences(job, before)
        connection.execute(QUERIES["restart"], {"job": number})
        return f"restart {number}: {_row(connection, number).text}"

    def _reset(self, connection: Connection, job: int, number: int) -> str:
        """The job runs once more: its worker ends the agent, or the agent's end does not count. No pause lasts."""
        before = _clock(connection)
        done = connection.execute(RESET, [number]).rowcount
        if done:
            self.given.end_silences(job, before)
        return f"set back {number}: {'done' if done else 'it does not run'}"

    def _drain(self, connection: Connection, host: str) -> str:
        known = request_drain(connection, host)
        worker = connection.execute(WORKER, [host]).fetchone()
        self.given.drains.append(Drain(host, worker[0] if worker else None, _clock(connection)))
        return f"drain {host}: {worker[0] if worker and known else 'unknown'}"

    def _rerun(self, connection: Connection, stream: int, numbers: Mapping[int, int]) -> str:
        positions = {number: position for position, number in numbers.items()}
        before = _clock(connection)
        with connection.transaction():
            connection.execute(RERUN, [stream])
            reset = connection.execute(LIVES_AGAIN, [list(positions)]).fetchall()
        for number, epoch in reset:
            self.given.let_live_again(positions[number], epoch, before)
        return f"rerun {stream} --failed: {[number for number, _ in reset]}"


def _one_of(found: Sequence[One], number: float) -> One:
    return found[int(number * len(found))]


def _row(connection: Connection, number: int) -> Row:
    row = connection.execute(ROWS, [[number]]).fetchone()
    assert row is not None
    return Row(*row)


def _clock(connection: Connection) -> float:
    row = connection.execute(CLOCK).fetchone()
    assert row is not None
    return float(row[0])
