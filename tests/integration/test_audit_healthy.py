"""A fleet at work, by steps and by threads: no audit finds anything, whenever one looks."""

from __future__ import annotations

from random import Random

import psycopg
import pytest

from scheduler_bridge.audit.auditor import audit
from scheduler_bridge.audit.checks import Thresholds
from scheduler_bridge.model.jobs import Ending, Outcome, Work
from tests.builders import Inserted, a_job, a_stream
from tests.contract.queues import PostgresSide
from tests.contract.steps import RETURNED, plan, swept
from tests.contract.test_stress import Rush, assert_all_ended_once, insert_some, working
from tests.integration.audit_states import (
    Connection,
    found,
    found_twice,
)


@pytest.mark.parametrize("seed", range(4))
def test_a_healthy_fleet_is_clean_at_every_step(
    queue: PostgresSide, connection: Connection, seed: int
) -> None:
    random = Random(seed)
    fleet = Fleet(queue, connection, random)
    for _ in range(2):
        fleet.insert()
    for _ in range(40):
        random.choice(fleet.actions)()
        assert found(audit(connection)) == {}
    while queue.open_jobs():
        fleet.sweep()
        fleet.restart_all()
        while fleet.claim():
            fleet.end()
    fleet.sweep()
    assert audit(connection, Thresholds(grace=0)).findings == ()


class Fleet:
    """A bridge, two hosts and operators, one step after the other."""

    def __init__(self, queue: PostgresSide, connection: Connection, random: Random) -> None:
        self.queue = queue
        self.connection = connection
        self.random = random
        self.running: list[Work] = []
        self.jobs: list[int] = []
        self.actions = [
            *[self.claim, self.end] * 5,
            self.pause,
            self.restart,
            self.kill,
            self.sweep,
            self.insert,
        ]

    def insert(self) -> None:
        """A stream of jobs that need up to two earlier ones."""
        jobs = []
        for n in range(6):
            needs = tuple(
                str(need) for need in self.random.sample(range(n), min(n, self.random.choice((0, 1, 2))))
            )
            kind = self.random.choice(("unpack", "license", "single", "double", "alone"))
            jobs.append(a_job(kind, name=str(n), needs=needs))
        rows: Inserted = self.queue.insert(a_stream(*jobs))
        self.jobs += rows.jobs.values()
        plan(self.queue.store)

    def claim(self) -> bool:
        """A worker asks for the jobs until it gets one."""
        host = self.random.choice(("h1", "h2"))
        for job in self.random.sample(self.jobs, len(self.jobs)):
            work = self.queue.store.claim(job, f"worker@{host}", host)
            if isinstance(work, Work):
                if self.queue.store.started(work, 1):
                    self.running.append(work)
                else:
                    self.queue.store.finish(work, RETURNED)
                return True
        return False

    def end(self) -> None:
        """An agent ends somehow, or its worker vanishes."""
        if not self.running:
            return
        work = self.running.pop(self.random.randrange(len(self.running)))
        ending = self.random.choice([Ending.COMPLETED] * 4 + [Ending.FAILED, Ending.RETURNED])
        if self.queue.store.finish(work, Outcome(ending, self.random.randrange(9))):
            self.queue.store.startable(work)

    def pause(self) -> None:
        self._order("pause_job(%s)")

    def restart(self) -> None:
        self._order("restart_job(%s)")

    def restart_all(self) -> None:
        for job in self.jobs:
            self.connection.execute("select scheduler_bridge.restart_job(%s)", [job])

    def kill(self) -> None:
        self._order("kill_job(%s, 'killed by hand')")

    def sweep(self) -> None:
        """Rounds of the sweep go by, leases expire; after them nothing suspicious is left.

        Two, since an exclusive job that is called in the first holds up the others until the second.
        """
        swept(self.queue, 65)
        swept(self.queue, 65)
        self.running.clear()
        assert found_twice(self.connection) == {}

    def _order(self, call: str) -> None:
        self.connection.execute(f"select scheduler_bridge.{call}", [self.random.choice(self.jobs)])


@pytest.mark.parametrize("run", range(3))
def test_a_busy_fleet_of_threads_is_clean_whenever_one_looks(
    queue: PostgresSide, database: str, run: int
) -> None:
    rush = Rush(queue)
    stream = queue.insert(a_stream()).stream
    random = Random(run)
    with psycopg.connect(database, autocommit=True) as other, working(rush, run):
        for _ in range(8):
            insert_some(rush, stream, random)
            rush.send(plan(queue.store), random)
            assert found(audit(other)) == {}
    with psycopg.connect(database, autocommit=True) as other:
        assert found(audit(other)) == {}
    assert_all_ended_once(rush)
