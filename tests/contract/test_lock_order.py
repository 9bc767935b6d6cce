"""No two verbs can deadlock: each is stopped in the middle of its locks while the other takes what it can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise
from typing import Any

import psycopg
import pytest

from scheduler_bridge.model.jobs import Work
from scheduler_bridge.store.port import PlanRecord
from tests.builders import a_job, a_stream
from tests.contract.fleet import configure
from tests.contract.queues import PostgresSide
from tests.contract.schedules import Stage, SteppedStore
from tests.contract.steps import COMPLETED, FAILED, plan, running

Act = Callable[[SteppedStore], Any]
Shared = tuple[str, psycopg.Connection[Any]]


@dataclass(frozen=True)
class Scene:
    """A stream in which two jobs run; what depends on them is numbered against its order and partly new."""

    first: Work
    second: Work
    waiting: list[int]
    stream: int
    record: PlanRecord


@pytest.fixture(scope="module")
def stage(shared_database: Shared) -> Iterator[Stage]:
    """Two workers."""
    made = Stage(shared_database[0], 2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def queue(shared_database: Shared) -> Iterator[PostgresSide]:
    """A queue; each scene empties it."""
    made = PostgresSide(*shared_database)
    yield made
    made.postgres.close()


def scene(queue: PostgresSide) -> Scene:
    """Such a stream and nothing else."""
    queue.empty()
    configure(queue.store)
    rows = (a_job("license", name=f"job{place}") for place in range(11))
    inserted = queue.insert(a_stream(*rows))
    first, second, third, *waiting = inserted.jobs.values()
    a, b, c, d, e, f, g, h = waiting
    needs = [
        (a, d),
        (d, first),
        (b, second),
        (b, e),
        (c, first),
        (c, second),
        (e, third),
        (f, third),
        (g, f),
        (h, e),
    ]
    for job, need in [*needs, (f, first), (h, second)]:
        queue.depend(job, need)
    plan(queue.store)
    works = running(queue.store, first), running(queue.store, second)
    queue.store.finish(running(queue.store, third, "h2"), COMPLETED)  # and dies before it looks
    queue.undepend(f, first)
    queue.store.unpropose([g])
    queue.set_priority(inserted.stream, 1)
    queue.depend(a, e)
    queue.pass_time(11)
    new = [queue.add(inserted.stream, a_job("report", needs=need)) for need in (b, h, e, third)]
    queue.store.observe()
    queue.store.lease_streams("planner")
    queue.add(inserted.stream, a_job("report", needs=a))
    jobs = [*reversed(waiting), *new]
    record = PlanRecord(jobs, dict(pairwise(jobs)), [new[3], f], [g, e], {new[1]: "a fault"})
    return Scene(*works, [*waiting, *new], inserted.stream, record)


VERBS: dict[str, Callable[[Scene], Act]] = {
    "observe": lambda _: SteppedStore.observe,
    "complete": lambda scene: (
        lambda store: store.finish(scene.first, COMPLETED) and store.startable(scene.first)
    ),
    "fail": lambda scene: lambda store: store.finish(scene.first, FAILED) and store.startable(scene.first),
    "fail another": lambda scene: lambda store: store.finish(scene.second, FAILED),
    "sweep": lambda _: SteppedStore.look,
    "withdraw": lambda _: SteppedStore.withdraw,
    "unpropose": lambda scene: lambda store: store.unpropose([*reversed(scene.waiting)]),
    "top up": lambda scene: lambda store: store.top_up([scene.stream]),
    "record": lambda scene: lambda store: store.record_plan(scene.stream, "planner", scene.record),
    "lease": lambda _: lambda store: store.lease_streams("planner"),
}


PLACES = range(2, 6)  # the waiting jobs that most verbs need in the middle of theirs


@pytest.mark.parametrize("verbs", [*combinations_with_replacement(VERBS, 2)], ids=" and ".join)
def test_no_two_verbs_deadlock(queue: PostgresSide, stage: Stage, verbs: tuple[str, str]) -> None:
    for place in PLACES:
        stream = scene(queue)
        acts = [VERBS[verb](stream) for verb in verbs]
        stage.play_behind(stream.waiting[place], acts if place % 2 else acts[::-1])
