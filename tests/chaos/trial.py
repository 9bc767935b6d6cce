"""One trial: a schedule made from its seed, played on the fleet, judged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psycopg

from scheduler_bridge.store.listener import CHANNEL
from tests.chaos.evidence import Evidence, Finding, Wrong
from tests.chaos.faults import Fault, random_faults
from tests.chaos.fleet import HOSTS, SLOTS, TICK_SECONDS, Fleet
from tests.chaos.giving import Giver
from tests.chaos.model import seconds_left
from tests.chaos.orders import Order, random_orders
from tests.chaos.records import Records, agents_of
from tests.chaos.rows import read
from tests.chaos.streams import Batch, Streams, one_job_a_host, random_streams
from tests.chaos.strikes import Strikes
from tests.chaos.verdict import judge
from tests.chaos.watch import Watch

PATIENCE_SECONDS = 60.0  # beyond the work that is left when the last fault is over
AUDIT_SECONDS = 20.0  # for sweeps to clear up behind the last job
LEFT_SECONDS = 20.0  # for agents to be gone after the last job; lost ones are looked for every ten seconds


@dataclass(frozen=True, slots=True)
class Schedule:
    """What will be done in a trial; the same for the same seed."""

    streams: Streams
    faults: tuple[Fault, ...]
    orders: tuple[Order, ...]

    @classmethod
    def of(cls, seed: int) -> Schedule:
        """The schedule of a seed."""
        return cls(
            random_streams(Random(f"streams {seed}")),
            random_faults(Random(f"faults {seed}")),
            random_orders(Random(f"orders {seed}")),
        )


@dataclass
class Result:
    """What came of a trial."""

    seed: int
    findings: list[Finding] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    jobs: int = 0
    faults: int = 0
    orders: int = 0
    delay_seconds: float = 0.0  # after the last fault, beyond the work that was left
    seconds: float = 0.0


class Trial:
    """The play of one schedule."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self._fleet = fleet
        schedule = Schedule.of(seed)
        self._streams = schedule.streams
        self._faults = list(schedule.faults)
        self._batches = list(schedule.streams.batches)
        self._ends: list[tuple[float, Fault]] = []
        self._records = Records(fleet.record)
        self._strikes = Strikes(fleet, self._records)
        self._giver = Giver(fleet, self._records, schedule.orders, f"killed in trial {seed}")
        self._watch = Watch(fleet)
        self._numbers: dict[int, int] = {}
        self._stream_numbers: dict[int, int] = {}
        self._began_at = time.monotonic()
        self.result = Result(seed, faults=len(self._faults), orders=len(schedule.orders))

    def play(self) -> Result:
        """All of it, on a fleet that works; what came of it."""
        try:
            self._fleet.wait_until_ready()
            self._began_at = time.monotonic()
            self._play()
        finally:
            self._watch.close()
            self._strikes.set_clocks_right()
        self.result.jobs = len(self._streams.jobs)
        self.result.seconds = self._now
        return self.result

    def _play(self) -> None:
        self._note(f"{len(self._streams.jobs)} jobs in {len(self._streams.priorities)} streams")
        while self._batches or self._faults or self._ends or self._giver.busy:
            self._act()
            self._look()
        self._await_drains()
        self._await_end()
        self._await_signs()
        self._judge()
        self._await_audit()

    @property
    def _now(self) -> float:
        return time.monotonic() - self._began_at

    def _note(self, text: str) -> None:
        self.result.history.append(f"{self._now:7.2f} {text}")

    def _act(self) -> None:
        """What is due; rows wait while the database is down, as their client would."""
        while self._ends and self._ends[0][0] <= self._now:
            self._note(self._strikes.end(self._ends.pop(0)[1]))
        while self._faults and self._faults[0].at <= self._now:
            fault = self._faults.pop(0)
            self._note(self._strikes.begin(fault))
            self._ends = sorted([*self._ends, (self._now + fault.seconds, fault)], key=lambda end: end[0])
        while self._batches and self._batches[0].at <= self._now and self._strikes.database_is_up:
            self._insert(self._batches.pop(0))
        if self._strikes.database_is_up:
            for text in self._giver.give(self._now, self._numbers, self._stream_numbers):
                self._note(text)

    def _look(self) -> None:
        for text in self._fleet.supervise():
            self._note(text)
        self._records.look()
        if self._strikes.database_is_up:
            for text in self._watch.news(self._numbers):
                self._note(text)
            for host in self._watch.reported(self._strikes.absences.dead):
                self._strikes.absences.report(host)
                self._note(f"{host} has reported")
        time.sleep(TICK_SECONDS)

    def _insert(self, batch: Batch) -> None:
        with self._fleet.connect() as connection:
            for position in self._each(connection, batch):
                self._insert_row(connection, position)
            connection.execute("select pg_notify(%s, '')", [CHANNEL])
        self._note(f"rows {[self._numbers[position] for position in batch.jobs]} in stream {batch.stream}")

    def _each(self, connection: psycopg.Connection[Any], batch: Batch) -> Iterator[int]:
        """The rows' positions, each in a transaction of its own unless the batch is one."""
        if batch.stream not in self._stream_numbers:
            number = connection.execute(
                "insert into job (job_name, job_priority) values ('chaos', %s) returning job_pk",
                [self._streams.priorities[batch.stream]],
            ).fetchone()
            self._stream_numbers[batch.stream] = _first(number)
        if batch.together:
            with connection.transaction():
                yield from batch.jobs
                self._depend(connection, batch.jobs)
            return
        for position in batch.jobs:
            with connection.transaction():
                yield position
                self._depend(connection, (position,))

    def _insert_row(self, connection: psycopg.Connection[Any], position: int) -> None:
        job = self._streams.jobs[position]
        key = self._key(position)
        data = f"{key} {job.tenths}" if job.kind.data is None else job.kind.data
        number = connection.execute(
            "insert into jobqueue (jq_job_fk, jq_type, jq_args, jq_cmd_args, jq_host)"
            " values (%s, %s, %s, %s, %s) returning jq_pk",
            [self._stream_numbers[job.stream], job.agent_type, data, None if job.kind.own else key, job.host],
        ).fetchone()
        self._numbers[position] = _first(number)

    def _depend(self, connection: psycopg.Connection[Any], positions: tuple[int, ...]) -> None:
        for position in positions:
            for need in self._streams.jobs[position].needs:
                connection.execute(
                    "insert into jobdepends (jdep_jq_fk, jdep_jq_depends_fk) values (%s, %s)",
                    [self._numbers[position], self._numbers[need]],
                )

    def _key(self, position: int) -> str:
        return f"{self.result.seed}.{position}.{self._began_at:.3f}"

    def _await_drains(self) -> None:
        """A worker that was told to leave does so after its last job, and its supervisor starts the next one."""
        quiet_at = self._now
        while hosts := self._watch.draining():
            if self._now > quiet_at + PATIENCE_SECONDS:
                self.result.findings += [Finding(Wrong.DISOBEYED, f"{host} is not drained") for host in hosts]
                break
            self._look()

    def _await_end(self) -> None:
        """All faults are over: one job a host more, then wait for everything."""
        self._note("all faults are over")
        self._streams = one_job_a_host(self._streams, self._now)
        self._insert(self._streams.batches[-1])
        quiet_at = self._now
        self._look()
        jobs = self._streams.jobs
        left = seconds_left(jobs, self._watch.ended(self._numbers), SLOTS * len(HOSTS))
        while self._watch.open_jobs(self._numbers):
            if self._now > quiet_at + left + PATIENCE_SECONDS:
                self._note(f"not over after {left:.1f} s of work and {PATIENCE_SECONDS:.0f} s more")
                break
            self._look()
        self.result.delay_seconds = max(0.0, self._now - quiet_at - left)

    def _await_signs(self) -> None:
        """Everything works again, and no agent is left."""
        quiet_at = self._now
        signs = self._watch.signs()
        while missing := [*self._fleet.missing(), *signs.missing()]:
            if self._now > quiet_at + PATIENCE_SECONDS:
                self.result.findings += [Finding(Wrong.LOST, text) for text in missing]
                break
            self._look()
        while left := self._left():
            if self._now > quiet_at + LEFT_SECONDS:
                self.result.findings += [Finding(Wrong.LEFT, text) for text in left]
                break
            self._look()

    def _left(self) -> list[str]:
        """Agents that nobody needs; warm ones of a worker that lives are meant to stay."""
        workers = {self._fleet.processes[name].pid for name in HOSTS}
        found = []
        for process in agents_of(self._fleet.record):
            with suppress(Exception):
                words = " ".join(process.cmdline())
                if process.ppid() not in workers or "works_legacy" not in words:
                    found.append(f"process {process.pid}: {words}")
        return found

    def _judge(self) -> None:
        self._records.look()
        with self._fleet.connect() as connection:
            rows, attempts = read(connection, self._numbers)
        positions = {self._key(position): position for position in self._numbers}
        runs = {
            position: [run for run in self._records.runs if positions.get(run.key) == position]
            for position in self._numbers
        }
        evidence = Evidence(
            self._streams.jobs,
            self._numbers,
            rows,
            attempts,
            runs,
            self._strikes.struck,
            self._strikes.absences.all,
            self._strikes.cut_off,
            self._giver.given,
        )
        self.result.findings += judge(evidence)

    def _await_audit(self) -> None:
        """The sweep has its time to close streams; then there is nothing that could be wrong for good reason."""
        quiet_at = self._now
        while found := self._watch.audit():
            if self._now > quiet_at + AUDIT_SECONDS:
                self.result.findings += found
                break
            self._look()


def _first(row: tuple[Any, ...] | None) -> int:
    assert row is not None
    return int(row[0])
