"""What no event told is found by the sweep, and nothing is done twice."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scheduler_bridge.plan.admission import ObstacleKind
from scheduler_bridge.store.memory_queue import PAUSED_AT
from scheduler_bridge.store.port import Held
from tests.builders import a_job, a_stream
from tests.contract.fleet import HOSTS, TYPES, report
from tests.contract.queues import Queue
from tests.contract.steps import (
    COMPLETED,
    FAILED,
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
PAIR = a_stream(a_job("unpack"), a_job("license", needs="unpack"))


def test_a_sweep_is_due_after_half_an_interval_whoever_asks(queue: Queue) -> None:
    assert queue.store.sweep_turn(10, 10)
    assert not queue.store.sweep_turn(10, 10)
    queue.pass_time(4.9)
    assert not queue.store.sweep_turn(10, 10)
    queue.pass_time(0.2)
    assert not queue.store.sweep_turn(40, 10)
    assert queue.store.sweep_turn(10, 10)


def test_jobs_whose_worker_died_are_free_again(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack"), a_job("license"), a_job("report")))
    unpack, license_, report_ = inserted.jobs.values()
    running(queue.store, unpack)
    claimed(queue.store, license_)
    kept = running(queue.store, report_, "h2")
    queue.pass_time(20)
    queue.store.renew("worker@h2", [Held(report_, kept.epoch, 3)])
    queue.pass_time(11)
    assert queue.store.sweep(60) == [unpack, license_]
    assert queue.store.sweep(60) == []
    assert queue.read(unpack).status == queue.read(license_).status == QUEUED
    assert queue.read(unpack).schedinfo is None
    assert [entry.ending for entry in queue.ledger(unpack)] == ["lost"]
    assert sorted(numbers(queue.store.top_up())) == [[unpack], [license_]]
    assert claimed(queue.store, unpack).epoch == 2
    assert ended(queue.store, kept) == []


def test_a_job_of_a_dead_worker_that_was_ended_by_hand_stays_ended(queue: Queue) -> None:
    inserted = planned(queue, PAIR)
    running(queue.store, inserted["unpack"])
    queue.change(inserted["unpack"], end=LONG_AGO, bits=2, endtext="killed")
    assert swept(queue, 31) == []
    assert queue.read(inserted["unpack"]).endtext == "killed"
    assert queue.read(inserted["license"]).status == (False, True, "dependency failed", 2)


def test_what_a_worker_finished_before_it_died_frees_the_next(queue: Queue) -> None:
    inserted = planned(
        queue, a_stream(a_job("unpack"), a_job("license"), a_job("report", needs=("unpack", "license")))
    )
    for name in ("unpack", "license"):
        queue.store.finish(running(queue.store, inserted[name]), COMPLETED)
    assert queue.store.top_up() == []
    assert swept(queue) == [[inserted["report"]]]


def test_rows_of_which_no_event_told_are_found(queue: Queue) -> None:
    inserted = queue.insert(PAIR)
    queue.store.sweep(60)
    assert plan(queue.store) == [[inserted["unpack"], inserted["license"]]]


def test_a_row_that_was_completed_by_hand_frees_its_dependents(queue: Queue) -> None:
    inserted = planned(queue, PAIR)
    queue.change(inserted["unpack"], end=LONG_AGO, bits=1, endtext="Completed")
    assert swept(queue, 61) == [[inserted["license"]]]
    assert queue.ledger(inserted["unpack"]) == []


def test_a_row_that_was_failed_by_hand_fails_its_dependents(queue: Queue) -> None:
    inserted = planned(queue, PAIR)
    queue.change(inserted["unpack"], end=LONG_AGO, bits=2, endtext="killed")
    assert swept(queue) == []
    assert queue.read(inserted["unpack"]).endtext == "killed"
    assert queue.read(inserted["license"]).status == (False, True, "dependency failed", 2)


def test_a_row_that_was_deleted_frees_its_dependents(queue: Queue) -> None:
    inserted = planned(queue, PAIR)
    queue.delete(inserted["unpack"])
    assert swept(queue, 61) == [[inserted["license"]]]


def test_a_stream_that_was_deleted_is_forgotten(queue: Queue) -> None:
    inserted = planned(queue, PAIR)
    for job in inserted.jobs.values():
        queue.delete(job)
    assert swept(queue) == []
    assert queue.store.stream_rows(inserted.stream).jobs == ()
    assert swept(queue) == []


def test_a_dependency_that_was_added_by_hand_is_obeyed(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack"), a_job("license")))
    unpack, license_ = inserted.jobs.values()
    assert plan(queue.store) == [[unpack], [license_]]
    queue.depend(license_, unpack)
    assert refused(queue.store, license_) == (ObstacleKind.NEEDS, str(unpack))
    assert swept(queue) == []
    assert done(queue.store, unpack) == [[license_]]


def test_a_dependency_that_was_added_by_hand_to_a_proposed_job_is_planned(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack"), a_job("license")))
    unpack, license_ = inserted.jobs.values()
    plan(queue.store)
    queue.depend(license_, unpack)
    queue.pass_time(11)
    queue.store.sweep(60)
    assert queue.store.lease_streams("one") == [inserted.stream]
    rows = queue.store.stream_rows(inserted.stream)
    assert [(job.job, job.needs) for job in rows.jobs] == [(license_, frozenset({unpack}))]


def test_a_cycle_that_was_made_by_hand_fails(queue: Queue) -> None:
    inserted = planned(queue, PAIR)
    queue.depend(inserted["unpack"], inserted["license"])
    assert swept(queue) == []
    assert {queue.read(job).bits for job in inserted.jobs.values()} == {2}


def test_a_dependency_that_was_deleted_by_hand_is_not_waited_for(queue: Queue) -> None:
    inserted = planned(queue, PAIR)
    refused(queue.store, inserted["license"])
    queue.undepend(inserted["license"], inserted["unpack"])
    assert swept(queue) == [[inserted["license"]]]


def test_a_changed_priority_counts(queue: Queue) -> None:
    first, second = (planned(queue, a_stream(a_job("single"))) for _ in range(2))
    blocker = planned(queue, a_stream(a_job("single")))["single"]
    work = claimed(queue.store, blocker)
    for one in (first, second):
        refused(queue.store, one["single"])
    queue.set_priority(second.stream, 3)
    swept(queue)
    assert ended(queue.store, work) == [[second["single"]]]


def test_a_waiting_row_that_is_given_another_host_by_hand_runs_there(queue: Queue) -> None:
    job = planned(queue, a_stream(a_job("unpack", host="h1")))["unpack"]
    queue.change(job, host="h2")
    assert swept(queue) == [[job]]
    assert refused(queue.store, job, "h1") == (ObstacleKind.WRONG_HOST, "h2")
    swept(queue)
    done(queue.store, job, host="h2")


def test_a_waiting_row_that_is_given_another_agent_type_by_hand_runs_that(queue: Queue) -> None:
    job = planned(queue, a_stream(a_job("unpack")))["unpack"]
    queue.change(job, agent_type="license")
    assert swept(queue) == [[job]]
    assert claimed(queue.store, job).agent_type == "license"


def test_a_row_that_is_given_another_host_while_it_runs_is_left_alone(queue: Queue) -> None:
    job = planned(queue, a_stream(a_job("unpack", host="h1")))["unpack"]
    work = running(queue.store, job)
    queue.change(job, host="h2")
    assert swept(queue, 5) == []
    ended(queue.store, work)
    assert queue.read(job).endtext == "Completed"


def test_a_job_that_was_unpaused_is_proposed(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack")))
    queue.change(inserted["unpack"], start=PAUSED_AT, endtext="Paused")
    refused(queue.store, inserted["unpack"])
    queue.change(inserted["unpack"], start=None, endtext="Restarted")
    queue.store.sweep(60)
    assert queue.store.top_up() == [], "refused less than ten seconds ago"
    assert swept(queue) == [[inserted["unpack"]]]


def test_an_agent_type_that_vanished_from_the_configuration_fails_its_waiting_jobs(queue: Queue) -> None:
    inserted = planned(queue, PAIR)
    queue.store.publish_configuration([one for one in TYPES if one.name != "unpack"], HOSTS)
    assert swept(queue) == []
    assert queue.read(inserted["unpack"]).status == (False, True, "Failed", 2)
    assert queue.read(inserted["license"]).status == (False, True, "dependency failed", 2)


def test_an_empty_configuration_fails_nothing(queue: Queue) -> None:
    inserted = planned(queue, PAIR)
    queue.store.publish_configuration([], HOSTS)
    assert swept(queue) == []
    assert queue.read(inserted["unpack"]).status == QUEUED


def test_a_lost_hint_is_given_up_when_a_slot_is_free_that_could_take_it(queue: Queue) -> None:
    (job,) = planned(queue, a_stream(a_job("unpack"))).jobs.values()
    queue.pass_time(4)
    assert given_up(queue) == []
    queue.pass_time(2)
    assert given_up(queue) == [[job]]
    queue.pass_time(6)
    assert given_up(queue) == [], "every time later"
    queue.pass_time(5)
    assert given_up(queue) == [[job]]


def test_a_hint_is_given_up_after_a_minute_at_the_latest(queue: Queue) -> None:
    (job,) = planned(queue, a_stream(a_job("unpack"))).jobs.values()
    for _ in range(9):
        queue.pass_time(61)
        assert given_up(queue) == [[job]]


@pytest.mark.parametrize("host", [None, "h1"])
def test_a_hint_that_waits_for_a_busy_fleet_is_not_lost(queue: Queue, host: str | None) -> None:
    busy = planned(queue, a_stream(*(a_job("license", name=f"job{number}") for number in range(5))))
    works = [
        claimed(queue.store, job, name)
        for job, name in zip(busy.jobs.values(), ["h1"] * 2 + ["h2"] * 3, strict=True)
    ]
    waiting = planned(queue, a_stream(a_job("unpack", host=host)))["unpack"]
    queue.pass_time(20)
    assert given_up(queue) == []
    queue.store.finish(works[-1], COMPLETED)
    assert given_up(queue) == ([[waiting]] if host is None else [])


def test_a_hint_is_not_given_up_for_a_host_that_cannot_run_it(queue: Queue) -> None:
    planned(queue, a_stream(a_job("unpack"), a_job("license", host="h1")))
    queue.store.register_host(HOSTS[0], "worker@h1", ["report"])
    queue.store.retire_host("h2", "worker@h2")
    queue.pass_time(20)
    assert given_up(queue, hosts_report=False) == []


def test_a_job_that_is_running_or_waits_for_others_has_no_hint_to_lose(queue: Queue) -> None:
    inserted = planned(queue, PAIR)
    work = running(queue.store, inserted["unpack"])
    queue.pass_time(29)
    assert given_up(queue) == []
    ended(queue.store, work, FAILED)


def test_a_stream_is_closed_at_its_end_and_opened_again_by_a_new_row(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack")))
    done(queue.store, inserted["unpack"])
    swept(queue)
    more = queue.add(inserted.stream, a_job("license", needs=inserted["unpack"]))
    assert plan(queue.store) == [[more]]


def test_a_stream_that_a_bridge_plans_is_not_closed(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack")))
    queue.store.observe()
    queue.store.lease_streams("one")
    done(queue.store, inserted["unpack"])
    queue.store.sweep(60)
    more = queue.add(inserted.stream, a_job("license"))
    queue.store.observe()
    assert queue.store.lease_streams("two") == []
    queue.pass_time(31)
    assert plan(queue.store, "two") == [[more]]


def given_up(queue: Queue, *, hosts_report: bool = True) -> list[list[int]]:
    """Sweep with an interval of five seconds; the hints that go out again."""
    if hosts_report:
        report(queue.store)
    queue.store.sweep(5)
    return numbers(queue.store.top_up())


def test_jobs_of_a_worker_that_is_known_to_be_dead_are_free_at_once(queue: Queue) -> None:
    dead, alive = planned(queue, a_stream(a_job("unpack"), a_job("license"))).jobs.values()
    work = running(queue.store, dead, "h1")
    running(queue.store, alive, "h2")
    assert queue.store.owners_on("h1") == ["worker@h1"]
    assert queue.store.owners_on("h3") == []
    assert queue.store.reclaim(["worker@h1", "worker@h3"]) == [dead]
    assert queue.store.reclaim(["worker@h1"]) == []
    assert not queue.store.started(work, 4711)
    assert queue.ledger(dead)[0].reason == "worker@h1 has died"
    assert queue.store.owners_on("h1") == []
    assert numbers(queue.store.top_up()) == [[dead]]
    assert queue.ledger(alive)[0].ending is None


def test_whoever_frees_what_the_dead_held_leaves_expired_leases_to_the_sweep(queue: Queue) -> None:
    dead, late = planned(queue, a_stream(a_job("unpack"), a_job("license"))).jobs.values()
    running(queue.store, dead, "h1")
    work = running(queue.store, late, "h2")
    queue.pass_time(31)
    assert queue.store.reclaim(["worker@h1"]) == [dead]
    assert queue.store.finish(work, COMPLETED), "its worker could not write for a while"


def test_after_a_time_in_which_nobody_swept_workers_may_renew_and_write_their_ends_first(
    queue: Queue,
) -> None:
    ends, gone = planned(queue, a_stream(a_job("unpack"), a_job("license"))).jobs.values()
    work = running(queue.store, ends)
    running(queue.store, gone, "h2")
    assert queue.store.sweep_turn(5, 5)
    queue.pass_time(300)
    assert queue.store.sweep_turn(5, 5)
    assert queue.store.reclaim() == []
    queue.pass_time(9)
    assert queue.store.sweep_turn(5, 5)
    assert queue.store.reclaim() == []
    assert queue.store.finish(work, COMPLETED)
    queue.pass_time(5)
    assert queue.store.sweep_turn(5, 5)
    assert queue.store.reclaim() == [gone]


def test_jobs_of_the_dead_are_free_at_once_also_after_a_time_in_which_nobody_swept(queue: Queue) -> None:
    job = planned(queue, a_stream(a_job("unpack")))["unpack"]
    running(queue.store, job)
    assert queue.store.sweep_turn(5, 5)
    assert queue.store.reclaim(["worker@h1"]) == [job]


def test_leases_that_expire_while_others_sweep_are_taken_back_at_once(queue: Queue) -> None:
    queue.store.sweep_turn(5, 5)
    queue.pass_time(12)
    queue.store.sweep_turn(5, 5)
    job = planned(queue, a_stream(a_job("unpack")))["unpack"]
    running(queue.store, job)
    for _ in range(3):
        assert queue.store.reclaim() == []
        queue.pass_time(14)
        assert queue.store.sweep_turn(5, 5)
    assert queue.store.reclaim() == [job]


def test_sweeps_that_are_always_late_take_leases_back_with_the_fourth(queue: Queue) -> None:
    job = planned(queue, a_stream(a_job("unpack")))["unpack"]
    running(queue.store, job)
    for late in range(1, 5):
        queue.pass_time(40)
        assert queue.store.sweep_turn(5, 5)
        assert queue.store.reclaim() == ([job] if late == 4 else []), late


@pytest.mark.parametrize("interval", [5, 10])
def test_a_time_in_which_leases_may_have_expired_is_one_in_which_nobody_swept(
    queue: Queue, interval: float
) -> None:
    assert queue.store.sweep_turn(interval, interval)
    queue.pass_time(12)
    assert queue.store.sweep_turn(interval, interval)
    job = planned(queue, a_stream(a_job("unpack")))["unpack"]
    running(queue.store, job)
    queue.pass_time(9)
    assert queue.store.sweep_turn(interval, interval)
    queue.pass_time(22)
    assert queue.store.sweep_turn(interval, interval)
    assert queue.store.reclaim() == []


def test_sweeps_that_are_rarer_than_leases_are_long_take_them_back_whenever_they_come(queue: Queue) -> None:
    assert queue.store.sweep_turn(60, 60)
    queue.pass_time(60)
    assert queue.store.sweep_turn(60, 60)
    job = planned(queue, a_stream(a_job("unpack")))["unpack"]
    running(queue.store, job)
    queue.pass_time(69)
    assert queue.store.sweep_turn(60, 60)
    assert queue.store.reclaim() == [job]


def test_a_clock_that_was_set_back_keeps_nobody_from_sweeping(queue: Queue) -> None:
    assert queue.store.sweep_turn(5, 5)
    job = planned(queue, a_stream(a_job("unpack")))["unpack"]
    running(queue.store, job)
    queue.pass_time(-3600)
    assert queue.store.sweep_turn(20, 5)
    for _ in range(7):
        queue.pass_time(9)
        assert queue.store.sweep_turn(5, 5)
    assert queue.store.reclaim() == []  # its lease is that of the earlier clock, until it is renewed
    assert queue.store.renew("worker@h1", [Held(job, 1, 0)]) != {}
    for _ in range(4):
        queue.pass_time(9)
        assert queue.store.sweep_turn(5, 5)
    assert queue.store.reclaim() == [job]
