"""Nothing starts but through a claim, and a claim that is refused says why."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scheduler_bridge.model.jobs import Work
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind
from scheduler_bridge.store.memory_queue import PAUSED_AT
from tests.builders import a_job, a_stream
from tests.contract.fleet import HOSTS, TYPES
from tests.contract.queues import Entry, Queue
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

QUEUED = (False, False, None, 0)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
RESPAWN = Obstacle(ObstacleKind.RESPAWN, "unpack")
NO_HOST = Obstacle(ObstacleKind.NO_HOST, "unpack")


def test_a_claim_hands_out_what_the_agent_needs(queue: Queue) -> None:
    row = a_job("unpack", args="17", cmd_args="-x 'y'")
    inserted = planned(queue, a_stream(row, priority=5, user=8, group=9))
    assert queue.store.claim(inserted["unpack"], "w", "h1") == Work(
        inserted["unpack"], inserted.stream, "unpack", 1, "17", "-x 'y'", 8, 9, 5
    )


def test_what_is_null_in_the_row_is_empty_or_zero_in_the_claim(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack", args=None), user=None, group=None))
    work = claimed(queue.store, inserted["unpack"])
    assert (work.data, work.arguments, work.user, work.group, work.priority) == ("", "", 0, 0, 0)


def test_a_claim_writes_nothing_into_the_row(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack")))
    claimed(queue.store, inserted["unpack"])
    found = queue.read(inserted["unpack"])
    assert (found.status, found.schedinfo) == (QUEUED, None)


def test_epochs_count_up_and_the_ledger_keeps_every_attempt(queue: Queue) -> None:
    (job,) = planned(queue, a_stream(a_job("unpack"))).jobs.values()
    assert ended(queue.store, claimed(queue.store, job), RETURNED) == [[job]]
    assert ended(queue.store, running(queue.store, job, "h2"), RETURNED) == [[job]]
    work = running(queue.store, job)
    assert work.epoch == 3
    ended(queue.store, work, FAILED)
    assert queue.ledger(job) == [
        Entry(1, "worker@h1", "h1", "returned", ""),
        Entry(2, "worker@h2", "h2", "returned", ""),
        Entry(3, "worker@h1", "h1", "failed", "it broke"),
    ]


def test_a_job_is_claimed_once(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack")))
    claimed(queue.store, inserted["unpack"])
    assert refused(queue.store, inserted["unpack"], "h2")[0] is ObstacleKind.TAKEN
    assert len(queue.ledger(inserted["unpack"])) == 1


def test_a_job_that_another_scheduler_has_started_is_taken(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack")))
    queue.change(inserted["unpack"], start=LONG_AGO, endtext="Started")
    assert refused(queue.store, inserted["unpack"])[0] is ObstacleKind.TAKEN
    queue.change(inserted["unpack"], start=None, endtext=None)
    assert swept(queue) == [[inserted["unpack"]]]


@pytest.mark.parametrize("columns", [{"end": LONG_AGO, "bits": 1}, {"end": LONG_AGO, "bits": 2}, {"bits": 2}])
def test_a_job_that_has_ended_is_not_claimed(queue: Queue, columns: dict[str, object]) -> None:
    inserted = planned(queue, a_stream(a_job("unpack")))
    queue.change(inserted["unpack"], **columns)
    assert refused(queue.store, inserted["unpack"]) == (ObstacleKind.ENDED, "")
    assert refused(queue.store, inserted["unpack"]) == (ObstacleKind.ENDED, "")
    assert queue.ledger(inserted["unpack"]) == []


def test_a_job_that_was_deleted_or_never_was_is_not_claimed(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack")))
    queue.delete(inserted["unpack"])
    assert refused(queue.store, inserted["unpack"]) == (ObstacleKind.ENDED, "")
    assert refused(queue.store, 12345) == (ObstacleKind.ENDED, "")


def test_a_job_waits_for_all_its_prerequisites(queue: Queue) -> None:
    needs = tuple(f"job{number}" for number in range(3))
    jobs = [a_job("license", name=name) for name in needs]
    inserted = planned(queue, a_stream(*jobs, a_job("report", needs=(*needs, "job1"))))
    first, second, third, report = inserted.jobs.values()
    assert refused(queue.store, report) == (ObstacleKind.NEEDS, f"{first}, {second}, {third}")
    done(queue.store, second)
    assert refused(queue.store, report) == (ObstacleKind.NEEDS, f"{first}, {third}")
    done(queue.store, first)
    assert done(queue.store, third) == [[report]]
    done(queue.store, report)


def test_a_prerequisite_that_is_only_marked_as_failed_is_still_waited_for(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack"), a_job("license", needs="unpack")))
    queue.change(inserted["unpack"], bits=2)
    assert refused(queue.store, inserted["license"]) == (ObstacleKind.NEEDS, str(inserted["unpack"]))


def test_a_job_whose_prerequisite_somebody_failed_is_failed_by_the_claim(queue: Queue) -> None:
    inserted = planned(
        queue, a_stream(a_job("unpack"), a_job("license", needs="unpack"), a_job("report", needs="license"))
    )
    queue.change(inserted["unpack"], end=LONG_AGO, bits=2, endtext="killed")
    assert refused(queue.store, inserted["license"]) == (ObstacleKind.DOOMED, str(inserted["unpack"]))
    assert queue.read(inserted["license"]).status == (False, True, "dependency failed", 2)
    assert queue.read(inserted["report"]).status == (False, True, "dependency failed", 2)


def test_a_paused_job_is_refused_whatever_else_it_waits_for(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack"), a_job("license", needs="unpack")))
    queue.change(inserted["license"], start=PAUSED_AT, endtext="Paused")
    assert refused(queue.store, inserted["license"]) == (ObstacleKind.PAUSED, "")
    assert queue.read(inserted["license"]).status == (True, False, "Paused", 0)


def test_a_job_whose_agent_type_is_configured_no_more_fails_as_in_fossology(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("report"), a_job("license", needs="report")))
    queue.store.publish_configuration([one for one in TYPES if one.name != "report"], HOSTS)
    assert refused(queue.store, inserted["report"]) == (ObstacleKind.UNKNOWN_TYPE, "report")
    assert queue.read(inserted["report"]).status == (False, True, "Failed", 2)
    assert queue.read(inserted["license"]).status == (False, True, "dependency failed", 2)


def test_a_job_runs_only_on_the_host_it_asks_for(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack", host="h2")))
    assert refused(queue.store, inserted["unpack"], "h1") == (ObstacleKind.WRONG_HOST, "h2")
    done(queue.store, inserted["unpack"], host="h2")


def test_a_local_agent_type_runs_only_on_localhost(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("nearby", host="h1")))
    assert refused(queue.store, inserted["nearby"], "h1") == (ObstacleKind.WRONG_HOST, "localhost")
    done(queue.store, inserted["nearby"], host="localhost")


def test_a_refused_job_is_not_proposed_before_something_has_changed(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack"), a_job("license")))
    queue.change(inserted["unpack"], start=PAUSED_AT)
    refused(queue.store, inserted["unpack"])
    assert queue.store.top_up() == []
    done(queue.store, inserted["license"])
    assert swept(queue) == []


def test_a_job_that_a_host_gave_back_for_a_reason_waits_for_the_sweep(queue: Queue) -> None:
    (job,) = planned(queue, a_stream(a_job("unpack"))).jobs.values()
    work = claimed(queue.store, job)
    assert queue.store.finish(work, RETURNED, obstacle=RESPAWN)
    found = queue.store.startable(work)
    assert numbers([*found.freed, *found.refill]) == []
    assert queue.store.top_up() == []
    queue.store.sweep(60)
    assert queue.store.top_up() == [], "too soon"
    assert swept(queue) == [[job]]
    done(queue.store, job)


def test_a_job_that_no_healthy_host_can_run_is_not_proposed(queue: Queue) -> None:
    (job,) = planned(queue, a_stream(a_job("unpack", host="h2"))).jobs.values()
    assert queue.store.finish(claimed(queue.store, job, "h2"), RETURNED, obstacle=NO_HOST)
    queue.pass_time(31)
    queue.store.sweep(60)
    assert numbers(queue.store.top_up()) == []
    queue.store.register_host(HOSTS[0], "worker@h1", ["unpack"])
    queue.store.register_host(HOSTS[1], "worker@h2", ["license"])
    queue.store.sweep(60)
    assert numbers(queue.store.top_up()) == []
    assert swept(queue) == [[job]]


def test_a_claim_needs_no_hint_and_no_plan(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack")))
    queue.store.observe()
    work = claimed(queue.store, inserted["unpack"])
    assert plan(queue.store) == []
    assert ended(queue.store, work, COMPLETED) == []
