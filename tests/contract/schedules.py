"""Transactions of several workers, interleaved as a schedule says.

Each worker is the real store on a connection of its own, in a thread of its own. It stops before every
statement and before every commit until the schedule lets it go on. One that is blocked by another's lock
stays where it is, and the schedule goes on without it; PostgreSQL tells who is blocked, so that nothing
waits for a time to pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import combinations
from threading import Event, Semaphore
from typing import Any

import psycopg

from scheduler_bridge.store.postgres import QUERIES, PostgresStore

FAST_DEADLOCKS = "-c deadlock_timeout=100ms"
LOOK_EVERY_SECONDS = 0.001
READ_ONLY = ("stream_rows",)  # its commit changes nothing: no step of its own


class SteppedStore(PostgresStore):
    """The store under test; `gate` returns when its worker may go on."""

    def __init__(self, url: str, connection: psycopg.Connection[Any], gate: Callable[[], None]) -> None:
        super().__init__(url)
        self._own = connection
        self._gate = gate

    def look(self) -> None:
        """The second part of a sweep, over all rows."""
        self._rows("settle", jobs=self._value("look_at_slice", slices=1))

    def rerun(self, stream: int) -> None:
        """What failed waits again, as the command of that name does it."""
        self._gate()
        self._own.execute("select scheduler_bridge.rerun_failed(%s)", [stream])
        self._gate()
        self._own.commit()

    def withdraw(self) -> None:
        """The third part of a sweep."""
        self._rows("withdraw_lost_hints", after=0)

    def _rows(self, query: str, **values: Any) -> list[Any]:
        self._gate()
        rows = self._own.execute(QUERIES[query], values or None).fetchall()
        if query not in READ_ONLY:
            self._gate()
        self._own.commit()
        return rows


class Worker:
    """One worker; acts one after the other, each step by step."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, options=FAST_DEADLOCKS)
        self._thread = ThreadPoolExecutor(1)
        self._steps = Semaphore(0)
        self._act: Future[Any] | None = None
        self.stopped = Event()  # at a gate, or at the end of its act
        self.pid = self._connection.info.backend_pid
        self.store = SteppedStore(url, self._connection, self._gate)

    def begin(self, act: Callable[[SteppedStore], Any]) -> None:
        """Go to the first gate of an act."""
        self.stopped.clear()
        self._act = self._thread.submit(self._perform, act)

    def step(self) -> None:
        """Go from a gate to the next."""
        self.stopped.clear()
        self._steps.release()

    @property
    def ended(self) -> bool:
        """Whether its act is over."""
        return self._act is not None and self._act.done()

    def result(self) -> Any:
        """What its act returned; raises what it raised."""
        assert self._act is not None
        return self._act.result()

    def close(self) -> None:
        """End thread and connection."""
        self._thread.shutdown()
        self.store.close()
        self._connection.close()

    def _gate(self) -> None:
        self.stopped.set()
        self._steps.acquire()

    def _perform(self, act: Callable[[SteppedStore], Any]) -> Any:
        try:
            return act(self.store)
        finally:
            self._connection.rollback()
            self.stopped.set()


class Stage:
    """Some workers and an observer that sees who is blocked."""

    def __init__(self, url: str, workers: int) -> None:
        self.workers = [Worker(url) for _ in range(workers)]
        self._observer = psycopg.connect(url, autocommit=True)

    def play(self, schedule: Iterable[int], acts: Sequence[Callable[[SteppedStore], Any]]) -> list[Any]:
        """Perform one act a worker, a step of whom the schedule names, then of the next; what they return.

        Who is blocked or has ended loses the step. When the schedule is over all go on to their end.
        """
        cast = self.workers[: len(acts)]
        for worker, act in zip(cast, acts, strict=True):
            worker.begin(act)
        self._wait(cast)
        for place in schedule:
            self._step(cast[place], cast)
        self._finish(cast)
        return [worker.result() for worker in cast]

    def play_behind(self, job: int, acts: Sequence[Callable[[SteppedStore], Any]]) -> list[Any]:
        """Perform one act a worker while somebody holds an open job: each goes as far as it can, one by one.

        So each stops in the middle of the statement that needs that job, with all that it has locked before.
        """
        cast = self.workers[: len(acts)]
        with self._observer.transaction():
            self._observer.execute("select from scheduler_bridge.open_job where job = %s for update", [job])
            for worker, act in zip(cast, acts, strict=True):
                worker.begin(act)
                self._wait([worker])
                while worker.stopped.is_set() and not worker.ended:
                    self._step(worker, [worker])
        self._wait(cast)
        self._finish(cast)
        return [worker.result() for worker in cast]

    def close(self) -> None:
        """End all."""
        for worker in self.workers:
            worker.close()
        self._observer.close()

    def _finish(self, cast: list[Worker]) -> None:
        while not all(worker.ended for worker in cast):
            for worker in cast:
                self._step(worker, cast)

    def _step(self, worker: Worker, cast: list[Worker]) -> None:
        if worker.stopped.is_set() and not worker.ended:
            worker.step()
            self._wait(cast)

    def _wait(self, cast: list[Worker]) -> None:
        """Until each worker has stopped or is blocked."""
        for worker in cast:
            while not worker.stopped.wait(LOOK_EVERY_SECONDS) and not self._is_blocked(worker):
                pass

    def _is_blocked(self, worker: Worker) -> bool:
        row = self._observer.execute("select pg_blocking_pids(%s) <> '{}'", [worker.pid]).fetchone()
        return row is not None and bool(row[0])


def merges(first: int, second: int) -> Iterator[tuple[int, ...]]:
    """Every order of so many steps of worker 0 and so many of worker 1."""
    steps = range(first + second)
    for chosen in combinations(steps, first):
        yield tuple(0 if step in chosen else 1 for step in steps)


def halves(steps: int) -> Iterator[tuple[int, ...]]:
    """Every order of two acts of so many steps that are alike: it makes no difference which begins."""
    return (schedule for schedule in merges(steps, steps) if schedule[0] == 0)
