"""What bridges and workers do, as steps of a test; jobs are told by their numbers."""

from __future__ import annotations

from collections.abc import Iterable

from scheduler_bridge.bridge import decide
from scheduler_bridge.model.jobs import Ending, Outcome, Work
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind
from scheduler_bridge.store.port import JobStore, Line
from tests.builders import Inserted, StreamRow
from tests.contract.fleet import report
from tests.contract.queues import Queue

COMPLETED = Outcome(Ending.COMPLETED)
FAILED = Outcome(Ending.FAILED, reason="it broke")
RETURNED = Outcome(Ending.RETURNED)


def numbers(lines: Iterable[Line]) -> list[list[int]]:
    """The jobs of each line."""
    return [[job.job for job in line] for line in lines]


def plan(store: JobStore, owner: str = "bridge") -> list[list[int]]:
    """One tick of a bridge; the lines it publishes."""
    store.observe()
    published: list[Line] = []
    while streams := store.lease_streams(owner):
        for stream in streams:
            record, lines = decide(store.stream_rows(stream))
            ours = store.record_plan(stream, owner, record)
            published += [line for line in lines if line[0].job in ours]
    return numbers(published)


def planned(queue: Queue, stream: StreamRow) -> Inserted:
    """Insert a stream and let a bridge plan it."""
    inserted = queue.insert(stream)
    plan(queue.store)
    return inserted


def claimed(store: JobStore, job: int, host: str = "h1") -> Work:
    """Claim a job that must be free to start."""
    work = store.claim(job, f"worker@{host}", host)
    assert isinstance(work, Work), work
    return work


def running(store: JobStore, job: int, host: str = "h1") -> Work:
    """Claim a job and let its agent say its first OK."""
    work = claimed(store, job, host)
    assert store.started(work, 4711)
    return work


def refused(store: JobStore, job: int, host: str = "h1") -> tuple[ObstacleKind, str]:
    """Claim a job that must not start; kind and subject."""
    answer = store.claim(job, f"worker@{host}", host)
    assert isinstance(answer, Obstacle), answer
    return answer.kind, answer.subject


def ended(store: JobStore, work: Work, outcome: Outcome = COMPLETED) -> list[list[int]]:
    """End an attempt and look what it made possible; the lines to publish."""
    assert store.finish(work, outcome)
    found = store.startable(work)
    return numbers([*found.freed, *found.refill])


def done(store: JobStore, job: int, outcome: Outcome = COMPLETED, host: str = "h1") -> list[list[int]]:
    """Run a job from claim to end; the lines to publish."""
    return ended(store, running(store, job, host), outcome)


def swept(queue: Queue, seconds: float = 11) -> list[list[int]]:
    """A sweep of all rows after some time, as `Sweep` does it; the lines it publishes.

    After ten seconds refusals are looked at again, after 30 leases have expired, after 60 hints are lost.
    """
    queue.pass_time(seconds)
    report(queue.store)
    queue.store.sweep(60)
    return plan(queue.store) + numbers(queue.store.top_up())
