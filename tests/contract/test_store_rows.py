"""Which rows the store takes in, and which it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime

from scheduler_bridge.plan.admission import ObstacleKind
from scheduler_bridge.store.memory_queue import PAUSED_AT
from tests.builders import a_job, a_stream
from tests.contract.queues import Queue
from tests.contract.steps import done, plan, planned, refused, swept

QUEUED = (False, False, None, 0)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def test_new_rows_are_taken_in_once(queue: Queue) -> None:
    queue.insert(a_stream(a_job("unpack"), a_job("license", needs="unpack")))
    assert queue.store.observe() == 2
    assert queue.store.observe() == 0


def test_a_row_with_a_lower_number_that_is_seen_later_is_not_missed(queue: Queue) -> None:
    with queue.insert_slowly(a_stream(a_job("unpack"))) as late:
        early = queue.insert(a_stream(a_job("unpack")))
        assert late["unpack"] < early["unpack"]
        assert [queue.store.observe() for _ in range(4)] == [1, 0, 0, 0]
    assert [queue.store.observe() for _ in range(4)] == [1, 0, 0, 0]
    assert sorted(plan(queue.store)) == [[late["unpack"]], [early["unpack"]]]


def test_several_late_rows_are_found_whatever_was_settled_in_between(queue: Queue) -> None:
    with queue.insert_slowly(a_stream(a_job("unpack"))):
        with queue.insert_slowly(a_stream(a_job("unpack"))):
            queue.insert(a_stream(a_job("unpack")))
            assert [queue.store.observe() for _ in range(3)] == [1, 0, 0]
        queue.insert(a_stream(a_job("unpack")))
        assert [queue.store.observe() for _ in range(3)] == [2, 0, 0]
    assert [queue.store.observe() for _ in range(3)] == [1, 0, 0]


def test_a_row_that_another_scheduler_has_started_is_left_to_it(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack"), a_job("license", needs="unpack")))
    queue.change(inserted["unpack"], start=LONG_AGO, endtext="Started")
    assert plan(queue.store) == []
    assert refused(queue.store, inserted["unpack"])[0].gone
    assert refused(queue.store, inserted["license"]) == (ObstacleKind.NEEDS, str(inserted["unpack"]))


def test_what_another_scheduler_completed_satisfies_its_dependents(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack"), a_job("license", needs="unpack")))
    queue.change(inserted["unpack"], start=LONG_AGO, endtext="Started")
    plan(queue.store)
    queue.change(inserted["unpack"], end=LONG_AGO, endtext="Completed", bits=1)
    assert swept(queue) == [[inserted["license"]]]


def test_a_row_that_another_scheduler_gave_up_is_found_by_the_sweep(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack")))
    queue.change(inserted["unpack"], start=LONG_AGO, endtext="Started")
    assert plan(queue.store) == []
    queue.change(inserted["unpack"], start=None, endtext=None)
    assert swept(queue) == [[inserted["unpack"]]]


def test_command_rows_of_the_old_scheduler_are_never_touched(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("command", args="reload"), a_job("unpack")))
    assert plan(queue.store) == [[inserted["unpack"]]]
    assert swept(queue) == []
    assert queue.read(inserted["command"]).status == QUEUED
    assert queue.ledger(inserted["command"]) == []


def test_rows_that_have_ended_or_failed_are_not_taken_in(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack"), a_job("license")))
    queue.change(inserted["unpack"], end=LONG_AGO, bits=1)
    queue.change(inserted["license"], bits=2)
    assert queue.store.observe() == 0


def test_a_row_that_was_paused_before_its_start_waits_until_it_is_unpaused(queue: Queue) -> None:
    inserted = queue.insert(a_stream(a_job("unpack")))
    queue.change(inserted["unpack"], start=PAUSED_AT, endtext="Paused")
    assert plan(queue.store) == [[inserted["unpack"]]]
    assert refused(queue.store, inserted["unpack"]) == (ObstacleKind.PAUSED, "")
    assert swept(queue) == []
    assert queue.read(inserted["unpack"]).start == PAUSED_AT
    queue.change(inserted["unpack"], start=None, endtext="Restarted")
    assert swept(queue) == [[inserted["unpack"]]]
    done(queue.store, inserted["unpack"])


def test_a_paused_row_whose_prerequisite_ends_meanwhile_is_started_once_it_is_unpaused(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack"), a_job("license", needs="unpack")))
    queue.change(inserted["license"], start=PAUSED_AT, endtext="Paused")
    assert refused(queue.store, inserted["license"]) == (ObstacleKind.PAUSED, "")
    assert done(queue.store, inserted["unpack"]) == [[inserted["license"]]]
    assert refused(queue.store, inserted["license"]) == (ObstacleKind.PAUSED, "")
    queue.change(inserted["license"], start=None, endtext="Restarted")
    assert swept(queue) == [[inserted["license"]]]


def test_a_stream_grows_while_it_runs(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack")))
    done(queue.store, inserted["unpack"])
    more = queue.add(inserted.stream, a_job("license", needs=inserted["unpack"]))
    assert plan(queue.store) == [[more]]
    last = queue.add(inserted.stream, a_job("report", needs=more))
    assert plan(queue.store) == []
    assert done(queue.store, more) == [[last]]


def test_a_row_that_its_client_completes_by_itself_is_not_started(queue: Queue) -> None:
    inserted = planned(queue, a_stream(a_job("unpack"), a_job("license", needs="unpack")))
    queue.change(inserted["unpack"], start=LONG_AGO, end=LONG_AGO, endtext="Completed", bits=1)
    assert refused(queue.store, inserted["unpack"]) == (ObstacleKind.ENDED, "")
    assert swept(queue, 61) == [[inserted["license"]]]
    assert queue.read(inserted["unpack"]).status == (True, True, "Completed", 1)
