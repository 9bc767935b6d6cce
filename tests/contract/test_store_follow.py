"""What the end of a job means for those that depend on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduler_bridge.model.jobs import Outcome
from scheduler_bridge.plan.admission import ObstacleKind
from scheduler_bridge.store.memory_queue import PAUSED_AT
from tests.builders import JobRow, a_job, a_stream
from tests.contract.fleet import configure
from tests.contract.queues import Queue
from tests.contract.steps import (
    COMPLETED,
    FAILED,
    RETURNED,
    claimed,
    done,
    ended,
    numbers,
    plan,
    planned,
    refused,
    running,
    swept,
)

DEPENDENCY_FAILED = (False, True, "dependency failed", 2)
DIAMOND = a_stream(
    a_job("unpack"),
    a_job("license", needs="unpack"),
    a_job("copyright", needs="unpack"),
    a_job("report", needs=("license", "copyright")),
)


def run_of(length: int) -> list[JobRow]:
    """Jobs of which each needs the one before."""
    jobs = [a_job("license", name="job0")]
    for number in range(1, length):
        jobs.append(a_job("license", name=f"job{number}", needs=f"job{number - 1}"))
    return jobs


def test_a_fan_in_is_freed_by_the_last_of_its_prerequisites(queue: Queue) -> None:
    inserted = planned(queue, DIAMOND)
    assert done(queue.store, inserted["unpack"]) == [[inserted["license"]], [inserted["copyright"]]]
    assert done(queue.store, inserted["copyright"]) == []
    assert done(queue.store, inserted["license"]) == [[inserted["report"]]]
    assert done(queue.store, inserted["report"]) == []


def test_of_two_prerequisites_that_end_before_either_looks_both_may_free_the_job(queue: Queue) -> None:
    inserted = planned(queue, DIAMOND)
    done(queue.store, inserted["unpack"])
    first, second = (running(queue.store, inserted[name]) for name in ("license", "copyright"))
    queue.store.finish(first, COMPLETED)
    queue.store.finish(second, COMPLETED)
    found = [queue.store.startable(work) for work in (first, second)]
    assert [numbers(one.freed) for one in found] == [[[inserted["report"]]], []]


def test_looking_twice_frees_nothing_twice(queue: Queue) -> None:
    inserted = planned(queue, DIAMOND)
    work = running(queue.store, inserted["unpack"])
    assert len(ended(queue.store, work)) == 2
    found = queue.store.startable(work)
    assert found.freed == found.refill == []


def test_the_next_link_of_the_own_chain_is_left_to_celery(queue: Queue) -> None:
    inserted = planned(queue, a_stream(*run_of(3)))
    first, second, third = inserted.jobs.values()
    work = running(queue.store, first)
    queue.store.finish(work, COMPLETED)
    assert queue.store.startable(work, following=second).freed == []
    assert queue.store.top_up() == [], "a hint for it is on its way"
    assert done(queue.store, second) == [[third]], "carried by no chain"


def test_a_next_link_that_was_never_marked_is_left_to_celery_too(queue: Queue) -> None:
    inserted = planned(queue, a_stream(*run_of(2)))
    first, second = inserted.jobs.values()
    queue.store.unpropose([second])
    work = running(queue.store, first)
    queue.store.finish(work, COMPLETED)
    found = queue.store.startable(work, following=second)
    assert found.freed == found.refill == []


def test_a_next_link_that_waits_for_more_is_not_freed(queue: Queue) -> None:
    inserted = planned(queue, DIAMOND)
    done(queue.store, inserted["unpack"])
    work = running(queue.store, inserted["license"])
    queue.store.finish(work, COMPLETED)
    assert queue.store.startable(work, following=inserted["report"]).freed == []
    assert refused(queue.store, inserted["report"])[0] is ObstacleKind.NEEDS
    assert done(queue.store, inserted["copyright"]) == [[inserted["report"]]]


def test_the_follower_of_a_chain_that_was_lost_is_proposed_anew(queue: Queue) -> None:
    inserted = queue.insert(a_stream(*run_of(3)))
    first, second, third = inserted.jobs.values()
    assert plan(queue.store) == [[first, second, third]]
    assert done(queue.store, first) == [[second, third]]


def test_dependents_in_other_streams_are_freed_urgent_ones_first(queue: Queue) -> None:
    origin = planned(queue, a_stream(a_job("unpack")))
    rows = [a_stream(a_job("license", needs=origin["unpack"]), priority=level) for level in (0, 5, -5)]
    plain, urgent, patient = (planned(queue, row)["license"] for row in rows)
    assert done(queue.store, origin["unpack"]) == [[urgent], [plain], [patient]]


def test_a_paused_dependent_is_freed_as_any_other(queue: Queue) -> None:
    inserted = planned(queue, DIAMOND)
    queue.change(inserted["license"], start=PAUSED_AT, endtext="Paused")
    assert done(queue.store, inserted["unpack"]) == [[inserted["license"]], [inserted["copyright"]]]
    assert refused(queue.store, inserted["license"]) == (ObstacleKind.PAUSED, "")


def test_the_end_of_a_job_refills_a_window_that_is_half_empty(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(window=4)
    configure(queue.store)
    inserted = planned(queue, a_stream(*(a_job("license", name=f"job{number}") for number in range(8))))
    jobs = list(inserted.jobs.values())
    assert done(queue.store, jobs[0]) == [], "three hints of four are out"
    assert done(queue.store, jobs[1]) == [[jobs[4]], [jobs[5]]]
    assert done(queue.store, jobs[2]) == []


def test_a_failure_fails_a_chain_of_thirty_to_its_end(queue: Queue) -> None:
    inserted = planned(queue, a_stream(*run_of(30)))
    first, *rest = inserted.jobs.values()
    assert done(queue.store, first, FAILED) == []
    assert queue.read(first).status == (True, True, "Failed", 2)
    assert {queue.read(job).status for job in rest} == {DEPENDENCY_FAILED}
    assert [entry.reason for entry in queue.ledger(rest[-1])] == [f"prerequisite {rest[-2]} failed"]
    assert swept(queue) == []


def test_a_failure_fails_a_diamond_but_not_what_runs_or_has_completed(queue: Queue) -> None:
    inserted = planned(queue, DIAMOND)
    bystander = planned(queue, a_stream(a_job("unpack")))["unpack"]
    done(queue.store, inserted["unpack"])
    other = running(queue.store, inserted["copyright"])
    assert done(queue.store, inserted["license"], FAILED) == []
    assert queue.read(inserted["report"]).status == DEPENDENCY_FAILED
    assert queue.read(inserted["unpack"]).status == (True, True, "Completed", 1)
    assert ended(queue.store, other) == []
    assert queue.read(inserted["copyright"]).status == (True, True, "Completed", 1)
    done(queue.store, bystander)


def test_a_failure_fails_dependents_in_other_streams(queue: Queue) -> None:
    origin = planned(queue, a_stream(a_job("unpack")))
    near = planned(
        queue, a_stream(a_job("license", needs=origin["unpack"]), a_job("report", needs="license"))
    )
    far = planned(queue, a_stream(a_job("report", needs=near["report"])))
    done(queue.store, origin["unpack"], FAILED)
    assert queue.read(near["report"]).status == DEPENDENCY_FAILED
    assert queue.read(far["report"]).status == DEPENDENCY_FAILED


def test_a_paused_dependent_of_a_failure_fails_and_one_that_ended_by_hand_does_not(queue: Queue) -> None:
    inserted = planned(queue, DIAMOND)
    queue.change(inserted["license"], start=PAUSED_AT, endtext="Paused")
    queue.change(inserted["copyright"], end=PAUSED_AT, bits=1, endtext="Completed")
    done(queue.store, inserted["unpack"], FAILED)
    assert queue.read(inserted["license"]).status == (True, True, "dependency failed", 2)
    assert queue.read(inserted["copyright"]).status == (False, True, "Completed", 1)
    assert queue.read(inserted["report"]).status == DEPENDENCY_FAILED


def test_a_row_inserted_while_its_prerequisite_fails_fails_too(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack")))
    work = running(queue.store, inserted["unpack"])
    queue.store.finish(work, FAILED)
    more = queue.add(inserted.stream, a_job("license", needs=inserted["unpack"]))
    queue.store.observe()
    queue.store.startable(work)
    assert plan(queue.store) == []
    assert queue.read(more).status == DEPENDENCY_FAILED


def test_a_row_taken_in_before_its_prerequisite_fails_is_failed_by_it(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack")))
    work = running(queue.store, inserted["unpack"])
    more = queue.add(inserted.stream, a_job("license", needs=inserted["unpack"]))
    queue.store.observe()
    ended(queue.store, work, FAILED)
    assert queue.read(more).status == DEPENDENCY_FAILED
    assert queue.store.lease_streams("bridge") == []


def test_dependents_of_a_job_that_was_killed_while_it_ran_fail_when_it_ends(queue: Queue) -> None:
    inserted = planned(queue, DIAMOND)
    work = running(queue.store, inserted["unpack"])
    queue.change(inserted["unpack"], end=PAUSED_AT, bits=2, endtext="killed by rosa")
    assert ended(queue.store, work) == []
    assert queue.read(inserted["unpack"]).endtext == "killed by rosa"
    assert queue.read(inserted["report"]).status == DEPENDENCY_FAILED


def test_dependents_of_a_job_that_was_completed_by_hand_while_it_ran_start_when_it_ends(queue: Queue) -> None:
    inserted = planned(queue, a_stream(*run_of(2)))
    first, second = inserted.jobs.values()
    work = running(queue.store, first)
    queue.change(first, end=PAUSED_AT, bits=1, endtext="Completed")
    assert ended(queue.store, work, FAILED) == [[second]]


def test_what_depends_on_a_running_job_does_not_fail_with_that_jobs_new_prerequisite(queue: Queue) -> None:
    origin = planned(queue, a_stream(a_job("unpack")))["unpack"]
    inserted = planned(queue, a_stream(a_job("license"), a_job("report", needs="license")))
    work = running(queue.store, inserted["license"])
    queue.depend(inserted["license"], origin)
    swept(queue)
    done(queue.store, origin, FAILED)
    assert ended(queue.store, work) == [[inserted["report"]]]


@pytest.mark.parametrize("outcome", [COMPLETED, FAILED, RETURNED])
def test_an_end_that_frees_nothing_says_so(queue: Queue, outcome: Outcome) -> None:
    first, second = (planned(queue, a_stream(a_job("unpack")))["unpack"] for _ in range(2))
    claimed(queue.store, second)
    assert done(queue.store, first, outcome) == ([[first]] if outcome is RETURNED else [])
