"""What goes out: heads of a plan, lines, as many as the window of their stream has room for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from scheduler_bridge.model.agents import Host
from scheduler_bridge.store.port import PlanRecord
from tests.builders import JobRow, a_job, a_stream
from tests.contract.fleet import configure
from tests.contract.queues import Queue
from tests.contract.steps import (
    COMPLETED,
    claimed,
    done,
    numbers,
    plan,
    planned,
    running,
)

NOTHING = PlanRecord(planned=(), followers={}, heads=())
PAIR = a_stream(a_job("unpack"), a_job("license", needs="unpack"))


def line_of(length: int) -> list[JobRow]:
    """Jobs of which each needs the one before."""
    first, *rest = (f"job{number}" for number in range(length))
    return [a_job("unpack", name=first)] + [
        a_job("license", name=name, needs=before) for before, name in zip([first, *rest], rest, strict=False)
    ]


def test_heads_go_out_once_whoever_plans(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack"), a_job("license")))
    queue.store.observe()
    queue.store.lease_streams("one")
    jobs = list(inserted.jobs.values())
    record = replace(NOTHING, heads=jobs)
    assert queue.store.record_plan(inserted.stream, "one", record) == set(jobs)
    queue.store.lease_streams("two")
    assert queue.store.record_plan(inserted.stream, "two", record) == set()
    assert queue.store.top_up([inserted.stream]) == []


def test_a_head_that_is_claimed_meanwhile_does_not_go_out(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack"), a_job("license")))
    queue.store.observe()
    queue.store.lease_streams("one")
    claimed(queue.store, inserted["unpack"])
    record = replace(NOTHING, planned=[*inserted.jobs.values()], heads=[*inserted.jobs.values()])
    assert queue.store.record_plan(inserted.stream, "one", record) == {inserted["license"]}


def test_a_plan_proposes_no_more_than_the_window(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(window=3)
    configure(queue.store)
    names = [f"job{number}" for number in range(5)]
    inserted = queue.insert(a_stream(*(a_job("license", name=name) for name in names)))
    jobs = [inserted[name] for name in names]
    assert plan(queue.store) == [[job] for job in jobs[:3]]
    assert queue.store.top_up([inserted.stream]) == []
    claimed(queue.store, jobs[1])
    assert numbers(queue.store.top_up([inserted.stream])) == [[jobs[3]]]
    assert queue.store.top_up() == []


def test_the_window_is_twice_the_slots_of_the_hosts_that_report(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue()
    configure(queue.store)
    store = queue.store
    inserted = queue.insert(a_stream(*(a_job("license", name=f"job{number}") for number in range(60))))
    jobs = list(inserted.jobs.values())
    assert len(plan(store)) == 20, "five slots: the least"
    store.register_host(Host("h1", 15), "worker@h1", ["license"])
    assert numbers(store.top_up([inserted.stream])) == [[job] for job in jobs[20:36]], "18 slots"
    store.retire_host("h1", "somebody else")
    store.unpropose(jobs)
    assert len(store.top_up([inserted.stream])) == 36
    store.unpropose(jobs)
    store.retire_host("h1", "worker@h1")
    assert len(store.top_up([inserted.stream])) == 20, "three slots"


def test_a_linear_run_goes_out_as_one_line_of_at_most_twenty(queue: Queue) -> None:
    inserted = planned(queue, a_stream(*line_of(45)))
    jobs = list(inserted.jobs.values())
    queue.store.unpropose(jobs)
    assert numbers(queue.store.top_up()) == [jobs[:20]]
    assert queue.store.top_up() == []
    for job in jobs[:19]:
        work = running(queue.store, job)
        queue.store.finish(work, COMPLETED)
        found = queue.store.startable(work, following=job + 1)
        assert found.freed == found.refill == []
    assert done(queue.store, jobs[19]) == [jobs[20:40]]


def test_the_line_behind_a_head_stops_at_a_job_that_is_claimed(queue: Queue) -> None:
    inserted = planned(queue, a_stream(*line_of(3)))
    first, second, third = inserted.jobs.values()
    queue.store.unpropose([first])
    queue.undepend(second, first)
    claimed(queue.store, second)
    assert numbers(queue.store.top_up()) == [[first]]
    queue.store.unpropose([third])


def test_what_could_not_be_published_waits_again(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack"), a_job("license")))
    lines = plan(queue.store)
    queue.store.unpropose([inserted["unpack"]])
    assert numbers(queue.store.top_up()) == [[inserted["unpack"]]]
    work = claimed(queue.store, inserted["license"])
    queue.store.unpropose([inserted["license"]])
    assert queue.store.top_up() == []
    assert len(lines) == 2
    assert queue.store.finish(work, COMPLETED)


@pytest.mark.parametrize("streams", [None, [1, 2]])
def test_every_stream_has_a_window_of_its_own(
    make_queue: Callable[..., Queue], streams: list[int] | None
) -> None:
    queue = make_queue(window=2)
    configure(queue.store)
    rows = a_stream(*(a_job("license", name=f"job{number}") for number in range(3)))
    first, second = queue.insert(rows), queue.insert(rows)
    plan(queue.store)
    queue.store.unpropose([*first.jobs.values(), *second.jobs.values()])
    found = sorted(numbers(queue.store.top_up(streams)))
    assert found == [[first["job0"]], [first["job1"]], [second["job0"]], [second["job1"]]]
