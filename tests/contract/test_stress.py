"""Four workers run random streams: no job waits for ever, by hints alone, or by sweeps when hints are lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random
from threading import Condition
from typing import Any

import psycopg
import pytest

from scheduler_bridge.model.agents import Host
from scheduler_bridge.model.jobs import Ending, Outcome, Work
from tests.builders import a_job, a_stream
from tests.contract.fleet import TYPES, configure
from tests.contract.queues import PostgresSide
from tests.contract.steps import numbers, plan

WORKERS = ("h1", "h1", "h2", "h2")  # two for the one slot of h1
RUNS = 30
SWEPT_RUNS = 10
JOBS = 16
WINDOWS = (0, 2, 5)  # 0: twenty
KINDS = ("license", "copyright", "report", "single", "double", "double", "alone")
MAXIMA = {"single": 1, "double": 2}
MOST_ATTEMPTS = 3  # what is given back so often ends then


@dataclass
class Rush:
    """Hints on their way and what has happened; all under `changed`."""

    queue: PostgresSide
    loses: float = 0.0  # share of the hints that arrive nowhere
    changed: Condition = field(default_factory=Condition)
    hints: list[list[int]] = field(default_factory=list)
    busy: int = 0
    ticks: Iterator[int] = field(default_factory=count)
    needs: dict[int, list[int]] = field(default_factory=dict)
    types: dict[int, str] = field(default_factory=dict)
    claimed: dict[int, list[int]] = field(default_factory=dict)  # job -> when its attempts began
    completed: dict[int, int] = field(default_factory=dict)  # job -> when it was about to be finished
    failed: set[int] = field(default_factory=set)
    running: Counter[str] = field(default_factory=Counter)

    def send(self, lines: list[list[int]], random: Random) -> None:
        """Publish hints, some of them twice, some for any job, some never."""
        with self.changed:
            self.hints += [line for line in lines if random.random() >= self.loses]
            self.hints += [line for line in lines if random.random() < 0.2]
            if random.random() < 0.2:
                self.hints.append([random.choice([*self.needs])])
            self.changed.notify_all()

    def work(self, host: str, random: Random) -> None:
        """Be a worker until nothing is left to do."""
        while (line := self._take(random)) is not None:
            try:
                for job, following in zip(line, [*line[1:], None], strict=True):
                    self._perform(job, following, host, random)
            finally:
                self.rest()

    def rest(self) -> None:
        """Have nothing more to do for the moment."""
        with self.changed:
            self.busy -= 1
            self.changed.notify_all()

    def _take(self, random: Random) -> list[int] | None:
        with self.changed:
            self.changed.wait_for(lambda: self.hints or not self.busy)
            if not self.hints:
                return None
            self.busy += 1
            return self.hints.pop(random.randrange(len(self.hints)))

    def _perform(self, job: int, following: int | None, host: str, random: Random) -> None:
        store = self.queue.store
        work = store.claim(job, f"worker@{host}", host)
        if not isinstance(work, Work):
            return
        self._begin(work)
        assert store.started(work, 1)
        chances = (
            [Ending.COMPLETED] * 16 + [Ending.FAILED] + [Ending.RETURNED] * 3 * (work.epoch < MOST_ATTEMPTS)
        )
        ending = random.choice(chances)
        self._end(work, ending)
        assert store.finish(work, Outcome(ending))
        found = store.startable(work, following)
        self.send(numbers([*found.freed, *found.refill]), random)

    def _begin(self, work: Work) -> None:
        with self.changed:
            self.claimed.setdefault(work.job, []).append(next(self.ticks))
            self.running[work.agent_type] += 1
            assert all(self.running[name] <= most for name, most in MAXIMA.items()), self.running
            assert not self.running["alone"] or self.running.total() == 1, self.running

    def _end(self, work: Work, ending: Ending) -> None:
        with self.changed:
            self.running[work.agent_type] -= 1
            if ending is Ending.COMPLETED:
                self.completed[work.job] = next(self.ticks)
            elif ending is Ending.FAILED:
                self.failed.add(work.job)


@pytest.fixture
def queue(shared_database: tuple[str, psycopg.Connection[Any]], run: int) -> Iterator[PostgresSide]:
    """An empty, configured queue, some with a narrow window; h1 has one slot."""
    made = PostgresSide(*shared_database, window=WINDOWS[run % len(WINDOWS)])
    made.empty()
    configure(made.store)
    made.store.register_host(Host("h1", 1), "worker@h1", [one.name for one in TYPES])
    yield made
    made.postgres.close()


@pytest.mark.parametrize("run", range(RUNS))
def test_random_streams_run_to_their_end_by_hints_alone(queue: PostgresSide, run: int) -> None:
    rush = Rush(queue)
    stream = queue.insert(a_stream()).stream
    random = Random(run)
    insert_some(rush, stream, random)
    with working(rush, run):
        rush.send(plan(queue.store), random)
        insert_some(rush, stream, random)
        rush.send(plan(queue.store), random)
    assert_all_ended_once(rush)


@pytest.mark.parametrize("run", range(SWEPT_RUNS))
def test_random_streams_run_to_their_end_by_sweeps_when_hints_are_lost(queue: PostgresSide, run: int) -> None:
    rush = Rush(queue, loses=0.5)
    stream = queue.insert(a_stream()).stream
    random = Random(run)
    with working(rush, run):
        for _ in range(2):
            insert_some(rush, stream, random)
            rush.send(plan(queue.store), random)
        while queue.store.observe() or queue.open_jobs():
            queue.store.sweep(0)
            rush.send(plan(queue.store) + numbers(queue.store.top_up()), random)
    assert_all_ended_once(rush)


@contextmanager
def working(rush: Rush, run: int) -> Iterator[None]:
    """Workers that go home when nothing is left to do, but not before the end of the block."""
    rush.busy = 1
    with ThreadPoolExecutor(len(WORKERS)) as threads:
        works = [
            threads.submit(rush.work, host, Random(f"{run} {place}")) for place, host in enumerate(WORKERS)
        ]
        try:
            yield
        finally:
            rush.rest()
        for work in works:
            work.result()


def insert_some(rush: Rush, stream: int, random: Random) -> None:
    """Insert jobs that need up to three of those that are there already."""
    for _ in range(JOBS // 2):
        needs = random.sample([*rush.needs], min(len(rush.needs), random.choice((0, 1, 1, 1, 2, 3))))
        kind = random.choice(KINDS)
        job = rush.queue.add(stream, a_job(kind, needs=tuple(needs)))
        with rush.changed:
            rush.needs[job], rush.types[job] = needs, kind


def assert_all_ended_once(rush: Rush) -> None:
    """Compare rows, ledger and what the workers did."""
    doomed: set[int] = set()
    for job, needs in rush.needs.items():
        found, ledger = rush.queue.read(job), rush.queue.ledger(job)
        ends = [entry.ending for entry in ledger if entry.ending != "returned"]
        if doomed.union(rush.failed).intersection(needs):
            doomed.add(job)
            assert job not in rush.claimed
            assert found.status == (False, True, "dependency failed", 2)
        elif job in rush.failed:
            assert found.status == (True, True, "Failed", 2)
        else:
            assert found.status == (True, True, "Completed", 1), f"job {job} waits for ever: {ledger}"
            assert min(rush.claimed[job]) > max([rush.completed[need] for need in needs], default=-1)
        assert len(ends) == 1, ledger
        assert [entry.epoch for entry in ledger] == list(range(1, len(ledger) + 1))
