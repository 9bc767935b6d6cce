"""Streams are leased to one bridge and planned; what can never start fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from scheduler_bridge.bridge import decide
from scheduler_bridge.model.jobs import Job
from scheduler_bridge.store.port import PlanRecord
from tests.builders import a_job, a_stream
from tests.contract.fleet import configure
from tests.contract.queues import Queue
from tests.contract.steps import (
    FAILED,
    done,
    ended,
    plan,
    planned,
    refused,
    running,
    swept,
)

NOTHING = PlanRecord(planned=(), followers={}, heads=())
PAIR = a_stream(a_job("unpack"), a_job("license", needs="unpack"))


def test_a_stream_is_leased_to_one_bridge_until_its_plan_is_recorded(queue: Queue) -> None:
    stream = queue.insert(PAIR).stream
    queue.store.observe()
    assert queue.store.lease_streams("one") == [stream]
    assert queue.store.lease_streams("two") == []
    assert queue.store.lease_streams("one") == [stream]
    queue.store.record_plan(stream, "one", NOTHING)
    assert queue.store.lease_streams("two") == [stream]
    jobs = [job.job for job in queue.store.stream_rows(stream).jobs]
    queue.store.record_plan(stream, "two", replace(NOTHING, planned=jobs))
    assert queue.store.lease_streams("two") == []


def test_the_lease_of_a_bridge_that_died_expires(queue: Queue) -> None:
    stream = queue.insert(PAIR).stream
    queue.store.observe()
    assert queue.store.lease_streams("one") == [stream]
    queue.pass_time(3.5)
    assert queue.store.lease_streams("two") == []
    queue.pass_time(2)
    assert queue.store.lease_streams("two") == [stream]


def test_only_the_streams_asked_for_are_leased(queue: Queue) -> None:
    first, second = queue.insert(PAIR).stream, queue.insert(PAIR).stream
    queue.store.observe()
    assert queue.store.lease_streams("one", [second]) == [second]
    assert queue.store.lease_streams("two", [second]) == []
    assert queue.store.lease_streams("two") == [first]


def test_a_bridge_whose_lease_moved_on_records_nothing(queue: Queue) -> None:
    inserted = queue.insert(PAIR)
    queue.store.observe()
    queue.store.lease_streams("one")
    queue.pass_time(31)
    queue.store.lease_streams("two")
    heads = [inserted["unpack"]]
    stale = replace(NOTHING, planned=heads, heads=heads, faults={inserted["license"]: "out of date"})
    assert queue.store.record_plan(inserted.stream, "one", stale) == set()
    assert queue.read(inserted["license"]).status == (False, False, None, 0)
    assert len(queue.store.stream_rows(inserted.stream).jobs) == 2


def test_the_rows_of_a_stream_come_with_all_that_they_reach(queue: Queue) -> None:
    elsewhere = planned(queue, PAIR)
    needs = (elsewhere["license"], "unpack")
    inserted = queue.insert(a_stream(a_job("unpack", host="h2"), a_job("report", needs=needs), priority=7))
    queue.store.observe()
    queue.store.lease_streams("one")
    unpack, report = inserted["unpack"], inserted["report"]
    rows = queue.store.stream_rows(inserted.stream)
    assert rows.stream == inserted.stream
    assert sorted(rows.jobs, key=lambda job: job.job) == [
        Job(unpack, inserted.stream, "unpack", "h2", 7),
        Job(report, inserted.stream, "report", None, 7, frozenset({unpack, elsewhere["license"]})),
    ]
    assert rows.elsewhere == {
        elsewhere["license"]: frozenset({elsewhere["unpack"]}),
        elsewhere["unpack"]: frozenset(),
    }


def test_a_prerequisite_that_ends_between_insert_and_plan_is_not_waited_for(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack")))
    work = running(queue.store, inserted["unpack"])
    more = queue.add(inserted.stream, a_job("license", needs=inserted["unpack"]))
    queue.store.observe()
    assert ended(queue.store, work) == [[more]]
    assert plan(queue.store) == []


def test_a_prerequisite_that_ends_between_lease_and_plan_is_looked_at_by_whoever_ended_it(
    queue: Queue,
) -> None:
    inserted = planned(queue, a_stream(a_job("unpack")))
    work = running(queue.store, inserted["unpack"])
    more = queue.add(inserted.stream, a_job("license", needs=inserted["unpack"]))
    queue.store.observe()
    queue.store.lease_streams("one")
    record, _ = decide(queue.store.stream_rows(inserted.stream))
    assert ended(queue.store, work) == [[more]]
    assert queue.store.record_plan(inserted.stream, "one", record) == set()


def test_a_prerequisite_that_was_deleted_after_the_insert_is_no_fault(queue: Queue) -> None:
    inserted = queue.insert(PAIR)
    queue.store.observe()
    queue.delete(inserted["unpack"])
    assert [inserted["license"]] in plan(queue.store)
    done(queue.store, inserted["license"])


def test_a_job_that_ran_before_it_was_planned_leaves_nothing_to_plan(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack")))
    queue.store.observe()
    done(queue.store, inserted["unpack"])
    assert queue.store.lease_streams("one") == []


def test_a_job_that_ended_by_hand_before_it_was_planned_leaves_nothing_to_plan(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack")))
    queue.store.observe()
    queue.change(inserted["unpack"], bits=2)
    assert refused(queue.store, inserted["unpack"])[0].gone
    assert queue.store.lease_streams("one") == []


def test_a_cycle_fails_with_all_that_depends_on_it(queue: Queue) -> None:
    inserted = queue.insert(
        a_stream(
            a_job("unpack"),
            a_job("license", needs="unpack"),
            a_job("report", needs="license"),
            a_job("copyright"),
        )
    )
    unpack, license_, report = inserted["unpack"], inserted["license"], inserted["report"]
    queue.depend(unpack, license_)
    foreign = queue.insert(a_stream(a_job("report", needs=report)))
    assert plan(queue.store) == [[inserted["copyright"]]]
    fault = f"dependency cycle: {unpack} -> {license_} -> {unpack}"
    assert queue.read(unpack).status == (False, True, fault, 2)
    assert queue.read(license_).status == (False, True, fault, 2)
    assert queue.read(report).status == (False, True, "dependency failed", 2)
    assert queue.read(foreign["report"]).status == (False, True, "dependency failed", 2)
    assert [entry.reason for entry in queue.ledger(unpack)] == [fault]


def test_a_dependency_on_no_job_fails_the_job(queue: Queue) -> None:
    inserted = queue.insert(PAIR)
    queue.depend(inserted["unpack"], None)
    assert plan(queue.store) == []
    assert queue.read(inserted["unpack"]).status == (False, True, "dependency on missing job 0", 2)
    assert queue.read(inserted["license"]).status == (False, True, "dependency failed", 2)


def test_an_agent_type_that_is_not_configured_fails_the_job_as_fossology_does(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("monk"), a_job("license", needs="monk")))
    assert plan(queue.store) == []
    assert queue.read(inserted["monk"]).status == (False, True, "Failed", 2)
    assert queue.read(inserted["license"]).status == (False, True, "dependency failed", 2)
    assert [entry.reason for entry in queue.ledger(inserted["monk"])] == ["agent type monk is not configured"]


def test_a_host_that_is_not_configured_fails_the_job_as_fossology_does(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack", host="elsewhere"), a_job("license", host="")))
    assert plan(queue.store) == [[inserted["license"]]]
    failed = (False, True, "ERROR: jq_host not in the agent list!", 2)
    assert queue.read(inserted["unpack"]).status == failed


def test_the_log_of_whoever_finds_a_job_of_an_unknown_type_says_so_once(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    inserted = queue.insert(a_stream(a_job("monk"), a_job("license", needs="monk")))
    plan(queue.store)
    swept(queue)
    assert caplog.messages == [f"job {inserted['monk']}: agent type monk is not configured"]


def test_jobs_of_one_unknown_type_are_one_line_and_those_of_an_unknown_host_another(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    monks = (a_job("monk\n", name=f"monk{place}") for place in range(3))
    inserted = queue.insert(a_stream(*monks, a_job("unpack", host="elsewhere")))
    plan(queue.store)
    assert caplog.messages == [
        f"jobs {inserted['monk0']} and 2 more: agent type monk\\n is not configured",
        f"job {inserted['unpack']}: host elsewhere is not known",
    ]


def test_nothing_is_unknown_before_a_configuration_is_published(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue()
    inserted = queue.insert(a_stream(a_job("unpack", host="h1")))
    assert plan(queue.store) == [[inserted["unpack"]]]
    assert queue.read(inserted["unpack"]).status == (False, False, None, 0)
    configure(queue.store)
    done(queue.store, inserted["unpack"])


def test_a_local_agent_type_goes_to_localhost_whatever_the_row_asks_for(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("nearby", host="h2")))
    queue.store.observe()
    queue.store.lease_streams("one")
    (job,) = queue.store.stream_rows(inserted.stream).jobs
    assert job.host == "localhost"
    done(queue.store, inserted["nearby"], host="localhost")


def test_a_row_whose_prerequisite_had_already_failed_fails_at_once(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack")))
    done(queue.store, inserted["unpack"], FAILED)
    more = queue.add(inserted.stream, a_job("license", needs=inserted["unpack"]))
    last = queue.add(inserted.stream, a_job("report", needs=more))
    assert plan(queue.store) == []
    assert queue.read(more).status == (False, True, "dependency failed", 2)
    assert queue.read(last).status == (False, True, "dependency failed", 2)
